// What comes before what: the comparison by which a worker chooses, and what it puts before one job.
import type { ProjectId } from '../../src/protocol/id.ts'
import { type Precedence, precedenceTable } from '../../src/protocol/why.ts'
import type { Line, Looker, Place, RequirementClass } from './line.ts'
import type { Turns } from './share.ts'

/** A place among those from which a worker chooses. */
interface Candidate {
  readonly projectId: ProjectId
  /** Of the taker's ladder. */
  readonly rung: number
  readonly place: Place
}

/** Where a class that suits the taker begins. */
export interface Head extends Candidate {
  readonly of: RequirementClass
  place: Place
}

/** Whose turn it is. */
export function first(heads: readonly Head[], turns: Turns | undefined): Head | undefined {
  const [any] = heads
  return any && heads.reduce((best, head) => (isBefore(head, best, turns) ? head : best), any)
}

function isBefore(one: Candidate, other: Candidate, turns: Turns | undefined): boolean {
  if (one.rung !== other.rung) return one.rung < other.rung
  const priority = one.place.job.priority - other.place.job.priority
  if (priority !== 0) return priority > 0
  if (turns && one.projectId !== other.projectId) {
    const standing = turns.standing(one.projectId) - turns.standing(other.projectId)
    if (standing !== 0) return standing < 0
    const last = turns.last(one.projectId) - turns.last(other.projectId)
    if (last !== 0) return last < 0
  }
  return one.place.number < other.place.number
}

/** A line of a class that suits a worker. */
export interface Rival {
  readonly projectId: ProjectId
  readonly rung: number
  readonly line: Line
}

/** What comes before a job by one rule; by `turn`, what takes turns with it. */
export interface Before {
  readonly by: Precedence
  readonly jobs: number
  /** There are more of them. */
  readonly isLeast: boolean
  readonly projects: number
  /** Those of them whose turn is before, as they stand now. */
  readonly first: number
}

/** Places that are looked at one by one, which takes less than a millisecond. */
const LOOKED_AT_MOST = 10_000

/** What of these lines comes before a place, by the first rule that tells them apart. */
export function countBefore(
  rivals: Iterable<Rival>,
  own: Candidate,
  { turns, looker }: { readonly turns: Turns | undefined; readonly looker: Looker },
): readonly Before[] {
  const counts = new Map<
    Precedence,
    { jobs: number; isLeast: boolean; projects: Set<ProjectId>; first: Set<ProjectId> }
  >()
  let left = LOOKED_AT_MOST
  for (const { line, projectId, rung } of rivals) {
    const place = line.first(looker)
    if (!place) continue
    const isFirst = isBefore({ projectId, rung, place }, own, turns)
    const by = ruleOf({ projectId, rung, place }, own)
    if (!isFirst && by !== 'turn') continue
    const count = counts.get(by) ?? { jobs: 0, isLeast: false, projects: new Set(), first: new Set() }
    counts.set(by, count)
    const found = line.countFor(looker, { before: by === 'earlier' ? own.place.number : undefined, most: left })
    left -= found.places
    count.jobs += found.jobs
    count.isLeast ||= found.isLeast
    count.projects.add(projectId)
    if (isFirst) count.first.add(projectId)
  }
  return rules.flatMap((by) => {
    const count = counts.get(by)
    return count && count.jobs > 0 ? [{ ...count, by, projects: count.projects.size, first: count.first.size }] : []
  })
}

/**
 * How many come before it for certain. Of a project whose turn is before, one does, unless others come first: what is given to them moves the turns. How many
 * more do depends on how long they take.
 */
export function aheadOf(before: readonly Before[]): { readonly count: number; readonly isLeast: boolean } {
  const certain = before.filter(({ by }) => by !== 'turn')
  const turn = before.find(({ by }) => by === 'turn')
  const areMoved = certain.some(({ by }) => by !== 'earlier' && by !== 'array')
  const ofTurns = turn && !areMoved ? turn.first : 0
  const count = certain.reduce((sum, { jobs }) => sum + jobs, ofTurns)
  return { count, isLeast: turn !== undefined || certain.some(({ isLeast }) => isLeast) }
}

const rules = Object.keys(precedenceTable) as readonly Precedence[]

function ruleOf(one: Candidate, own: Candidate): Precedence {
  if (one.rung !== own.rung) return one.rung === 0 ? 'own' : 'friends'
  if (one.place.job.priority !== own.place.job.priority) return 'priority'
  return one.projectId === own.projectId ? 'earlier' : 'turn'
}
