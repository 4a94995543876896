// Replays: the exact bytes of a job that ended are submitted once more, as a new job that is admitted like any other. The old one keeps its end, and names the
// new one, so that a repeat of the call makes no second.
import type { JobView } from '../../src/protocol/consumer.ts'
import type { ReplayReply } from '../../src/protocol/ended.ts'
import { type ErrorCode, Refusal } from '../../src/protocol/error.ts'
import { elementOf, type JobId, type ProjectId } from '../../src/protocol/id.ts'
import { isFinal, type JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { nextIndex } from '../../src/state/array.ts'
import type { EndPlace, ReadTx } from '../store/contract.ts'
import type { JobRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { checkBegun, DEAD_SCAN, type DeadQuery, deadFilter, isSettled, markReplay } from './dead.ts'
import { findJob, type Scope } from './job.ts'
import type { Polls } from './poll.ts'
import { type Once, type Replay, type SubmittedJob, submitJobs } from './submit.ts'
import { viewJob } from './view.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

interface Asked {
  readonly scope: Scope
  readonly id: JobId
  readonly by: string
}

/** A person may ask for any job that ended, a dead letter or not. */
export async function replayJob(parts: Parts, asked: Asked): Promise<JobView> {
  return viewJob(parts.core, await replay(parts, asked, checkEnded))
}

type Check = (row: JobRow) => void

async function replay({ core, polls }: Parts, { scope, id, by }: Asked, check: Check): Promise<JobRow> {
  const { row, bytes } = await core.store.read(async (tx) => ({
    row: await findJob(tx, scope, id),
    bytes: await tx.getSpec(id),
  }))
  check(row)
  checkBegun(row)
  if (!bytes) throw new Error(`${id} has its exact bytes`)
  const { projectId } = row
  const once = onceOf(id, by, check)
  const made = await submitJobs(
    { core, polls },
    { projectId, by, jobs: [again(row, bytes, check)], batch: false, once },
  )
  const [first] = made
  if (!first) throw new Error('a replay makes a job')
  return first
}

function checkEnded({ law: { state } }: JobRow): void {
  if (!isFinal(state)) throw new Refusal('not_possible', `the job is ${state} and has not ended`, { state })
}

/** Those that it waited for ended then: it does not wait for them again. */
function again(row: JobRow, bytes: Buffer, check: Check): SubmittedJob {
  const { after: _, ...spec } = JSON.parse(bytes.toString()) as JobSpec
  const { signature } = row
  return { spec, field: '', exact: { bytes, ...(signature ? { signature } : {}) }, replay: replayOf(row, check) }
}

/** An element runs as an array of its own, at the same index; an array over all of its indexes, and as a dead letter over those that never began. */
function replayOf({ id, law: { array } }: JobRow, check: Check): Replay {
  const element = elementOf(id)
  if (element) return { of: id, array: { count: 1, from: element.index } }
  if (!array) return { of: id }
  return { of: id, array: check === checkDismissed ? { count: array.dropped, from: nextIndex(array) } : array }
}

/** The old job says what was made of it, inside the write. */
function onceOf(id: JobId, by: string, check: Check): Once {
  const find = async (tx: ReadTx) => {
    const row = await findJob(tx, 'all', id)
    check(row)
    const madeId = row.replay?.by
    if (madeId === undefined) return undefined
    const made = await tx.getJob(madeId)
    if (!made) throw new Refusal('not_found', `it was replayed as ${madeId}, which was removed by retention`)
    return [made]
  }
  return {
    find,
    async made(write, [made]) {
      if (!made) return
      const row = await findJob(write.tx, 'all', id)
      await markReplay(write, row, { mark: { by: made.id }, who: { by, note: `replayed as ${made.id}` } })
    },
  }
}

/** Together in one commit, and each by itself for quotas: what is let in runs, whatever becomes of the others. */
const REPLAYED_AT_ONCE = 64

/** Refusals that are about now and not about the job. */
const notNow: readonly ErrorCode[] = ['quota_exceeded', 'too_many_requests', 'disk_full']

interface ReplayMany extends DeadQuery {
  readonly projectId: ProjectId
  readonly by: string
  readonly most?: number | undefined
}

/** Replays dead letters until none is left, or no more are let in. Jobs that can never be let in are named, and do not stop the others. */
export async function replayJobs(parts: Parts, { projectId, by, most, ...query }: ReplayMany): Promise<ReplayReply> {
  const { core } = parts
  const done: ReplayReply = { replayed: [], refused: [], left: true }
  const filter = { ...deadFilter(projectId, query), scan: DEAD_SCAN }
  let room = most ?? limit.replaysMost
  for (let before: EndPlace | undefined; room > 0; ) {
    const asked = { ...filter, limit: Math.min(room, REPLAYED_AT_ONCE), ...(before ? { before } : {}) }
    const { rows, next } = await core.store.read((tx) => tx.listDead(asked))
    const outcomes = await Promise.all(rows.map(({ id }) => tryOne(parts, { scope: projectId, id, by })))
    const stopped = gather(done, outcomes)
    if (stopped && done.replayed.length === 0) throw stopped
    if (stopped) return done
    if (!next) return { ...done, left: false }
    room -= rows.length
    before = next
  }
  return done
}

interface Outcome {
  readonly id: JobId
  readonly to?: JobId
  readonly refusal?: Refusal
}

async function tryOne(parts: Parts, asked: Asked): Promise<Outcome> {
  const { id } = asked
  try {
    return { id, to: (await replay(parts, asked, checkDismissed)).id }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { id, refusal: error }
  }
}

/** Between the look and the write somebody may have dismissed it. */
function checkDismissed(row: JobRow): void {
  if (!isSettled(row) || row.replay?.by !== undefined) return
  throw new Refusal('not_possible', 'the job was dismissed', { state: row.law.state })
}

/** Adds the outcomes to what is done, and answers the refusal that stops it. */
function gather(done: ReplayReply, outcomes: readonly Outcome[]): Refusal | undefined {
  let stopped: Refusal | undefined
  for (const { id, to, refusal } of outcomes) {
    if (to !== undefined) done.replayed.push({ from: id, to })
    else if (refusal && notNow.includes(refusal.code)) stopped ??= refusal
    else if (refusal) done.refused.push({ id, message: refusal.message })
  }
  return stopped
}
