// Workers that are alike for a job that waits are told once: by reason and requirement, with what they have as a range or a list that has an end.
import { type Hindrance, hindrances, hindranceTable, precedenceTable, type WhyView } from '../../src/protocol/why.ts'
import type { WorkerRow } from '../store/row.ts'
import { aheadOf, type Before } from './precedence.ts'
import type { Told } from './why-worker.ts'

type Waits = NonNullable<WhyView['waiting']>
type Group = Waits['workers'][number]

/** A worker, what stands between it and the job, and what comes first there, where that was looked at. */
export interface Case {
  readonly worker: WorkerRow
  readonly told: Told
  readonly before?: readonly Before[]
}

const GROUPS_MOST = 20
const NAMED_MOST = 20
/** Of different values and notes. */
const DIFFERENT_MOST = 5

const rankOf = (reason: Hindrance) => hindrances.indexOf(reason)

/** The nearest to running it first, then those with most workers. */
export function groupUp(all: readonly Case[]): Pick<Waits, 'workers' | 'rest'> {
  const groups = new Map<string, { readonly reason: Hindrance; readonly cases: Case[] }>()
  for (const one of all) {
    const { reason, requirement, of, change } = one.told
    const key = JSON.stringify([reason, requirement, of, change, one.before?.map(({ by }) => by)])
    const group = groups.get(key)
    if (group) group.cases.push(one)
    else groups.set(key, { reason, cases: [one] })
  }
  const sorted = [...groups.values()].sort(
    (one, other) =>
      rankOf(one.reason) - rankOf(other.reason) ||
      jobsBefore(one.cases) - jobsBefore(other.cases) ||
      other.cases.length - one.cases.length,
  )
  const rest = sorted.slice(GROUPS_MOST).reduce((sum, { cases }) => sum + cases.length, 0)
  return { workers: sorted.slice(0, GROUPS_MOST).flatMap(({ cases }) => view(cases)), ...(rest > 0 && { rest }) }
}

const jobsBefore = ([first]: readonly Case[]) => aheadOf(first?.before ?? []).count

function view(cases: readonly Case[]): readonly Group[] {
  const [first] = cases
  if (!first) return []
  const { reason, requirement, wants, of, change: own } = first.told
  const [one, several, usual] = hindranceTable[reason]
  const workers = cases.map(({ worker: { id, name } }) => ({ id, name }))
  workers.sort((a, b) => (a.name < b.name ? -1 : 1))
  const before = nearest(cases)?.before
  const group: Group = {
    reason,
    says: cases.length === 1 ? one : several,
    change: own ?? changeOf(reason, usual, before),
    ...(requirement === undefined ? {} : { requirement, wants, ...hasOf(cases) }),
    ...(of && { of }),
    ...untilOf(cases),
    ...(reason === 'probation' && { mishaps: Math.max(...cases.map(({ told }) => told.mishaps ?? 0)) }),
    ...notesOf(cases),
    ...(before && before.length > 0 && { before: before.map(viewBefore) }),
    count: cases.length,
    workers: workers.slice(0, NAMED_MOST),
  }
  return [group]
}

/** Of those of which it is known, the one where the fewest come first. */
export function nearest(cases: readonly Case[]): Case | undefined {
  const known = cases.filter(({ before }) => before !== undefined)
  return known.reduce<Case | undefined>(
    (best, one) => (best && jobsBefore([best]) <= jobsBefore([one]) ? best : one),
    undefined,
  )
}

/** Room alone brings a job nothing while others come first. */
function changeOf(reason: Hindrance, usual: string, before: readonly Before[] | undefined): string {
  if (reason !== 'busy') return usual
  if (before?.length === 0) return usual
  const isTurn = before === undefined || before.every(({ by }) => by === 'turn')
  return isTurn ? `${usual}, and its turn comes` : `${usual}, and those before it are taken`
}

/** Different values once each; null stands for none. */
function hasOf(cases: readonly Case[]): Pick<Group, 'has' | 'has_least' | 'has_most' | 'has_some'> {
  const different = new Map(cases.map(({ told: { has } }) => [JSON.stringify(has), has]))
  const values = [...different.values()]
  if (values.length === 1) return values[0] === undefined ? {} : { has: values[0] }
  const numbers = values.filter((value) => typeof value === 'number')
  if (numbers.length < values.length) return { has_some: values.slice(0, DIFFERENT_MOST).map((value) => value ?? null) }
  const range = (least: number, value: number) => Math.min(least, value)
  return { has_least: numbers.reduce(range), has_most: numbers.reduce((most, value) => Math.max(most, value)) }
}

function untilOf(cases: readonly Case[]): Pick<Group, 'until' | 'until_most'> {
  const all = cases.flatMap(({ told: { until } }) => (until === undefined ? [] : [until]))
  if (all.length === 0) return {}
  const until = all.reduce((least, one) => Math.min(least, one))
  const until_most = all.reduce((most, one) => Math.max(most, one))
  return until === until_most ? { until } : { until, until_most }
}

function notesOf(cases: readonly Case[]): Pick<Group, 'note' | 'notes'> {
  const notes = [...new Set(cases.flatMap(({ told: { note } }) => (note === undefined ? [] : [note])))]
  const [note] = notes
  if (note === undefined) return {}
  return notes.length === 1 ? { note } : { notes: notes.slice(0, DIFFERENT_MOST) }
}

export function viewBefore({ by, jobs, isLeast, projects, first }: Before): NonNullable<Waits['before']>[number] {
  const says = precedenceTable[by][jobs === 1 ? 0 : 1]
  return { by, says, jobs, ...(isLeast && { is_least: true }), ...(by === 'turn' && { projects, first }) }
}
