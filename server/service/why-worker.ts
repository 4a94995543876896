// What stands between a job that waits and one worker: read from the state that decides whether that worker gets it.
import type { JobId } from '../../src/protocol/id.ts'
import type { Hindrance, WhyView } from '../../src/protocol/why.ts'
import { lackOf, type Needs } from '../../src/state/match.ts'
import { shortOf } from '../../src/state/room.ts'
import type { WorkerRow } from '../store/row.ts'
import type { Taker } from './choice.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'
import { meansOf } from './room.ts'
import { cordonOf } from './stop.ts'
import { standing } from './view.ts'

type Group = NonNullable<WhyView['waiting']>['workers'][number]

/** Of one worker. */
export type Told = Pick<Group, 'requirement' | 'wants' | 'has' | 'until' | 'of' | 'note' | 'mishaps'> & {
  readonly reason: Hindrance
  /** Where the reason alone does not say it. */
  readonly change?: string
}

/** How a worker declined a job. */
export interface Decline {
  readonly note?: string | undefined
  /** By its owner's rules. */
  readonly isRefused: boolean
}

/** A job as it is looked at for each worker. */
export interface Subject {
  readonly needs: Needs
  /** What stands in the queue for it: itself, or its array. */
  readonly id: JobId
  /** Elements of that array that are taken before it. */
  readonly elementsBefore: number
  readonly passedOver: Readonly<Record<string, number>>
  readonly declines: ReadonlyMap<string, Decline>
  /** What would end the quota that it is held back by. */
  readonly quotaChange?: string
  /** Looks at what a worker would take, which takes long where many kinds of jobs wait: so many workers of one call are still looked at. */
  readonly looks: { left: number }
}

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

/** The first thing that stands between them: what no time changes, then whether it is there, then what it declined, then its room and whose turn it is. */
export function hindranceOf(parts: Parts, worker: WorkerRow, subject: Subject): Told {
  const { core, polls } = parts
  if (worker.law.state === 'quarantined' || worker.law.state === 'revoked') return { reason: 'shut_out' }
  const lack = lackOf(subject.needs, meansOf(worker))
  if (lack) return { reason: 'lacks', ...lack }
  const now = core.clock.now()
  return (
    absenceOf(parts, worker) ??
    declineOf(subject, worker, now) ??
    distrustOf(core, worker, now) ??
    shortageOf(core, polls.takerNow(worker), subject) ??
    turnOf(core, polls.takerNow(worker), subject)
  )
}

function absenceOf({ core, polls }: Parts, worker: WorkerRow): Told | undefined {
  const { state, note } = standing(core, polls, worker)
  const said = note === undefined ? {} : { note }
  switch (state) {
    case 'offline':
    case 'away':
      return { reason: state }
    case 'cordoned': {
      const { of = 'worker', until } = cordonOf(core, worker) ?? {}
      const change = `the cordon ends, or an operator takes it back: pond ${of} uncordon`
      return { reason: state, of, change, ...said, ...(until === undefined ? {} : { until }) }
    }
    case 'paused':
    case 'draining':
      return { reason: state, ...said }
  }
  return undefined
}

function declineOf({ passedOver, declines }: Subject, { id }: WorkerRow, now: number): Told | undefined {
  const until = passedOver[id]
  if (until === undefined || until <= now) return undefined
  const { note, isRefused = false } = declines.get(id) ?? {}
  return { reason: isRefused ? 'refused' : 'passed_over', until, ...(note === undefined ? {} : { note }) }
}

function distrustOf({ live, refusals }: Core, { id, law, bindingId }: WorkerRow, now: number): Told | undefined {
  if (law.state === 'probation') {
    const { mishaps, pausedUntil } = law
    if (pausedUntil > now) return { reason: 'probation', mishaps, until: pausedUntil }
    const isBusy = [...live.ofBinding(bindingId)].some(({ workerId }) => workerId === id)
    if (isBusy || live.lingers(id) || live.coming(id).length > 0) return { reason: 'probation', mishaps }
  }
  return refusals.room(id, now) === 0 ? { reason: 'slowed' } : undefined
}

function shortageOf({ choice }: Core, taker: Taker | undefined, { needs, id }: Subject): Told | undefined {
  if (!taker) return { reason: 'busy', requirement: 'slots', wants: 1, has: 0 }
  const short = shortOf(needs, taker.room)
  if (short) return { reason: 'busy', ...short }
  const kept = choice.keptAt(taker)
  if (!kept || kept.id === id || !shortOf(needs, choice.spare(taker))) return undefined
  return { reason: 'kept', until: kept.until }
}

function turnOf({ choice }: Core, taker: Taker | undefined, subject: Subject): Told {
  const { id, elementsBefore, quotaChange, looks } = subject
  if (quotaChange !== undefined) return { reason: 'quota', change: quotaChange }
  if (!taker || looks.left < 1) return { reason: 'open' }
  looks.left -= 1
  const taken = choice.peek(taker).filter(({ job }) => job.id === id).length
  return { reason: taken > elementsBefore ? 'next' : 'behind' }
}
