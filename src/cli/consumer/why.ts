// pond why: what a job waits for, worker by worker, or what its end is known from.
import type { WhyView } from '../../protocol/why.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo, formatDuration, formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { describeStop } from '../operator/stop.ts'
import { fields } from '../output.ts'
import { need, resolveJob, withSession } from '../session.ts'

export function why(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { client, out } = session
    const id = await resolveJob(session, flags.job)
    const view = need(`ask why ${id} is where it is`, await client.call('explainJob', { params: { id } }))
    await out.result(view, () => describe(view, io.clock.now()))
    return 0
  })
}

type Waiting = NonNullable<WhyView['waiting']>

function describe({ id, state, says, waiting, after = [], held, ended }: WhyView, now: number): readonly string[] {
  const head = fields([
    ['job', id],
    ['state', state],
    ['why', says],
    ...after.map(({ job, on, state }) => [on === 'end' ? 'after the end of' : 'after', `${job}, ${state}`] as const),
    ...(waiting ? describeWaiting(waiting, now) : []),
    ...(held ? describeHeld(held) : []),
    ...(ended ? describeEnd(ended) : []),
  ])
  return [...head, ...(waiting?.workers.flatMap((one) => ['', ...describeWorkers(one, now)]) ?? [])]
}

type Rows = Parameters<typeof fields>[0]

function describeWaiting(waiting: Waiting, now: number): Rows {
  const { since, ahead, ahead_is_least, not_before, pond_full, paused, quota } = waiting
  const place = ahead === undefined ? undefined : `${ahead_is_least ? 'more than ' : ''}${ahead} jobs of the project`
  return [
    ['in the queue', formatAgo(since, now)],
    ['before it', place],
    ['not before', not_before === undefined ? undefined : formatTime(not_before)],
    ['project', paused && `paused${describeStop(paused)}`],
    ['pond', pond_full ? 'has no room for output' : undefined],
    ['quota', quota && `${quota.name}, ${quota.used} of ${quota.most}`],
    ['until', quota?.until === undefined ? undefined : sayUntil(quota.until, now)],
    ['changes when', quota?.change],
  ]
}

function describeHeld({ worker, silent_ms, lease_ms }: NonNullable<WhyView['held']>): Rows {
  return [
    ['worker', worker.name],
    ['last heard', `${formatDuration(silent_ms)} ago; after ${formatDuration(lease_ms)} the attempt counts as lost`],
  ]
}

function describeEnd(end: NonNullable<WhyView['ended']>): Rows {
  const { cause, rc, signal, at, by, note, worker, cancelled_by, cancel_requested_at: asked } = end
  return [
    ['cause', cause],
    ['code', rc],
    ['signal', signal],
    ['ended', formatTime(at)],
    ['said by', by],
    ['with', note],
    ['cancelled by', cancelled_by && `${cancelled_by}${asked === undefined ? '' : `, ${formatTime(asked)}`}`],
    ['worker', worker?.name],
    ['attempts', end.attempts],
    ['signed by the worker', end.attested ? 'yes' : 'no'],
  ]
}

function describeWorkers(one: Waiting['workers'][number], now: number): readonly string[] {
  const { workers, count, says, requirement, wants, has, change, until, note } = one
  const more = count > workers.length ? ` and ${count - workers.length} more` : ''
  return fields([
    [count === 1 ? 'worker' : 'workers', `${workers.map(({ name }) => name).join(', ')}${more}`],
    ['  why', says],
    [`  ${requirement}`, requirement && `wanted ${text(wants)}, there ${has === undefined ? 'none' : text(has)}`],
    ['  said', note],
    ['  until', until === undefined ? undefined : sayUntil(until, now)],
    ['  changes when', change],
  ])
}

const sayUntil = (until: number, now: number) => `${formatTime(until)}, in ${formatDuration(Math.max(0, until - now))}`

const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
