// Why a job waits, who has it, or why it ended, from what pond knows at this moment: the same facts and the same law by which it hands jobs out.
import { elementOf, type JobId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { WhyView } from '../../src/protocol/why.ts'
import { type Tally, underWay, undrawn } from '../../src/state/array.ts'
import { stepJob } from '../../src/state/job.ts'
import type { JobRow, TransitionRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { viewTally } from './element.ts'
import { readJob, type Scope } from './job.ts'
import { leaseMsOf } from './lease.ts'
import type { LiveClaim } from './live.ts'
import type { Polls } from './poll.ts'
import { endOf } from './why-ended.ts'
import { nameOf, queuedOf, sayWait, type Waiter, waitOf } from './why-waiting.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

export async function explainJob(parts: Parts, asked: { readonly scope: Scope; readonly id: JobId }): Promise<WhyView> {
  const { core } = parts
  const row = await readJob(core, asked.scope, asked.id)
  const { id, law } = row
  const about = { id, state: law.state }
  const of = await arrayOf(core, row)
  const steps = await core.store.read((tx) => tx.listTransitions(of ? of.array.id : id))
  if (isFinal(law.state)) {
    const ended = await endOf(core, row, { steps, of: of?.array })
    const tally = law.array && { array: viewTally(law.array) }
    return { ...about, says: ended ? `it ended: ${ended.means}` : 'it has ended', ...tally, ...(ended && { ended }) }
  }
  if (law.state === 'waiting') return { ...about, ...(await explainAfter(core, of ? of.array.id : id)) }
  if (law.array && undrawn(law.array) < 1) return { ...about, ...(await explainDrawn(parts, row, law.array)) }
  const held = core.live.ofJob(id)
  if (held) return { ...about, ...explainHeld(core, row, { held, steps }) }
  const waiting = await waitOf(parts, { row, steps, ...(of && { of }) })
  const tally = (of?.array ?? row).law.array
  return { ...about, ...sayWait(waiting), waiting, ...(tally && { array: viewTally(tally) }) }
}

/** Of an element that was not drawn: its array, and its index. */
async function arrayOf(core: Core, { id, version }: JobRow): Promise<Waiter['of']> {
  const element = version === 0 ? elementOf(id) : undefined
  const array = element && (await core.store.read((tx) => tx.getJob(element.array)))
  return array && { array, index: element.index }
}

/** So many are told; there may be more. */
const AFTER_MOST = limit.listMost

async function explainAfter(core: Core, id: JobId): Promise<Omit<WhyView, 'id' | 'state'>> {
  const after = await core.store.read(async (tx) => {
    const after: NonNullable<WhyView['after']> = []
    for (const { otherId, on } of await tx.listDependencies(id, AFTER_MOST)) {
      const other = await tx.getJob(otherId)
      if (other) after.push({ job: otherId, on, state: other.law.state })
    }
    return after
  })
  if (after.length === 0) return { says: 'what it waited for has ended', change: 'nothing is needed', after }
  const jobs =
    after.length === 1 ? '1 other job' : `${after.length >= AFTER_MOST ? 'at least ' : ''}${after.length} other jobs`
  const isStrict = after.some(({ on }) => on === 'success')
  const end = after.length === 1 ? 'it ends' : 'all of them end'
  const change = isStrict ? `${end}; one that has to succeed and does not ends this job too` : end
  return { says: `it waits for ${jobs}`, change, after }
}

/** Of those that wait again; more are not counted. */
const AGAIN_MOST = 100

/** All of an array has begun: if some of it waits again, why it does. */
async function explainDrawn(parts: Parts, row: JobRow, tally: Tally): Promise<Omit<WhyView, 'id' | 'state'>> {
  const { core } = parts
  const array = viewTally(tally)
  const [again, element, steps] = await core.store.read(async (tx) => {
    const ids = await queuedOf(tx, row.id, AGAIN_MOST)
    const last = ids.at(-1)
    return [ids, last && (await tx.getJob(last)), last ? await tx.listTransitions(last) : []] as const
  })
  const now = sayUnderWay(tally)
  if (!element) return { says: `all of it has begun; ${now}`, change: 'these end', array }
  const waiting = await waitOf(parts, { row: element, steps })
  const { says, change } = sayWait(waiting)
  const is_least = again.length === AGAIN_MOST
  const some = `${is_least ? 'at least ' : ''}${again.length} of these ${again.length === 1 ? 'waits' : 'wait'}`
  return {
    says: `all of it has begun; ${now}, and ${some} for another attempt; of ${element.id}: ${says}`,
    change,
    array,
    waiting: { ...waiting, element: { job: element.id, count: again.length, ...(is_least && { is_least }) } },
  }
}

function sayUnderWay(tally: Tally): string {
  const count = underWay(tally)
  return count === 1 ? '1 element is under way' : `${count} elements are under way`
}

function explainHeld(
  core: Core,
  row: JobRow,
  { held, steps }: { readonly held: LiveClaim; readonly steps: readonly TransitionRow[] },
): Omit<WhyView, 'id' | 'state'> {
  const worker = nameOf(core, held.workerId)
  const { lease, heldUntil } = held
  const until = lease === 'held' && heldUntil !== undefined ? { until: heldUntil } : {}
  const cancelled_by = row.law.cancel?.by
  const facts = {
    ...{ worker, since: steps.at(-1)?.at ?? row.createdAt },
    silent_ms: Math.round(core.listening.now() - held.heardAt),
    lease_ms: leaseMsOf(core, held.workerId),
    ...(lease === 'granted' || lease === 'confirmed' || lease === 'held' ? { lease } : {}),
    ...until,
    ...(cancelled_by === undefined ? {} : { cancelled_by }),
  }
  return { ...sayHeld(core, row, { held, name: worker.name }), held: facts }
}

function sayHeld(core: Core, row: JobRow, { held, name }: { readonly held: LiveClaim; readonly name: string }) {
  const isCancelled = row.law.cancel !== undefined
  const asked = isCancelled ? '; its end was asked for' : ''
  switch (held.lease) {
    case 'granted':
      return {
        says: `${name} was given it and has not confirmed it yet${asked}`,
        change: 'the worker confirms or declines it; else the time for that ends, and it is offered anew',
      }
    case 'held': {
      const until = held.heldUntil === undefined ? '' : ` until ${new Date(held.heldUntil).toISOString()}`
      return {
        says: `${name} fell silent, and pond waits for it${until}${asked}`,
        change: `the worker is heard of again; else that time comes, the attempt is lost, and ${lossOf(core, row)}`,
      }
    }
    default:
      return {
        says: `${name} has it${asked}`,
        change: isCancelled ? 'its worker hears of that and stops it' : 'it ends there, or somebody cancels it',
      }
  }
}

/** By the law, what becomes of a job whose attempt is lost. */
function lossOf({ clock }: Core, { law }: JobRow): string {
  const { claimId } = law
  const step = claimId && stepJob(law, { type: 'lose', claimId, cause: 'worker_lost' }, clock.now())
  if (!step || 'refused' in step) return 'that is looked at anew'
  return step.job.state === 'queued' ? 'the job waits for another one' : `the job has ${step.job.state}`
}
