// pond why: what a job waits for, worker by worker, or what its end is known from.
import type { WhyView } from '../../protocol/why.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo, formatDuration, formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { describeStop } from '../operator/stop.ts'
import { fields } from '../output.ts'
import { need, resolveJob, withSession } from '../session.ts'
import { formatSize } from '../size.ts'
import { describeTally } from './attend-array.ts'
import { describeHas, describeWanted } from './why-value.ts'

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
type Group = Waiting['workers'][number]
type Before = NonNullable<Waiting['before']>[number]

function describe(view: WhyView, now: number): readonly string[] {
  const { id, state, says, change, array, waiting, after = [], held, ended } = view
  const head = fields([
    ['job', id],
    ['state', state],
    ['why', says],
    // A pond of before tells it of a quota alone.
    ['changes when', change ?? waiting?.quota?.change],
    [array && id.includes('.') ? 'its array' : 'elements', array && describeTally(array)],
    ...after.map(({ job, on, state }) => [on === 'end' ? 'after the end of' : 'after', `${job}, ${state}`] as const),
    ...(waiting ? describeWaiting(waiting, now) : []),
    ...(held ? describeHeld(held, now) : []),
    ...(ended ? describeEnd(ended) : []),
  ])
  const { workers = [], rest } = waiting ?? {}
  const more = rest === undefined ? [] : ['', `${rest} more ${rest === 1 ? 'worker' : 'workers'}, for other reasons`]
  return [...head, ...workers.flatMap((one) => ['', ...describeWorkers(one, now)]), ...more]
}

type Rows = Parameters<typeof fields>[0]

function describeWaiting(waiting: Waiting, now: number): Rows {
  const { since, not_before, pond_full, paused, quota, tried, max_parallel: bound, element } = waiting
  return [
    ['told of', element?.job],
    ['in the queue', formatAgo(since, now)],
    ['before it', describePlace(waiting)],
    ['last attempt', tried && describeTried(tried)],
    ['not before', not_before === undefined ? undefined : sayUntil(not_before, now)],
    ['max_parallel', bound && `${bound.under_way} of ${bound.most} under way`],
    ['project', paused && `paused${describeStop(paused)}`],
    ['pond', pond_full ? 'has no room for output' : undefined],
    ['quota', quota && `${quota.name}, ${quota.used} of ${quota.most}`],
    ['until', quota?.until === undefined ? undefined : sayUntil(quota.until, now)],
  ]
}

function describePlace({ ahead, ahead_is_least, before = [], at }: Waiting): string | undefined {
  if (ahead === undefined) return undefined
  const [least, none] = ahead_is_least ? ['at least ', 'nothing for certain'] : ['', 'nothing']
  const count = ahead === 0 ? none : `${least}${ahead} ${ahead === 1 ? 'job' : 'jobs'}`
  const what = before.length > 0 ? `: ${before.map(describeBefore).join(', ')}` : ''
  return `${count}${at ? `, at ${at.name}` : ''}${what}`
}

function describeBefore({ jobs, says, is_least, projects, first = 0 }: Before): string {
  const whose =
    projects === undefined ? '' : ` (${first} of ${projects} ${projects === 1 ? 'project' : 'projects'} before it now)`
  return `${is_least ? 'more than ' : ''}${jobs} ${says}${whose}`
}

function describeTried({ attempt, cause, rc, note, worker, at }: NonNullable<Waiting['tried']>): string {
  const how = [`${attempt}`, cause, ...(rc === undefined ? [] : [`code ${rc}`])].join(', ')
  return `${how}${worker ? `, on ${worker.name}` : ''}, ${formatTime(at)}${note === undefined ? '' : `: ${note}`}`
}

function describeHeld({ worker, silent_ms, lease_ms, lease, until, cancelled_by }: Held, now: number): Rows {
  const heard = `${formatDuration(silent_ms)} ago`
  const then = lease === 'held' ? '' : `; after ${formatDuration(lease_ms)} the attempt counts as lost`
  return [
    ['worker', worker.name],
    ['last heard', `${heard}${then}`],
    ['held until', until === undefined ? undefined : sayUntil(until, now)],
    ['cancelled by', cancelled_by],
  ]
}

type Held = NonNullable<WhyView['held']>
type Ended = NonNullable<WhyView['ended']>

function describeEnd(end: Ended): Rows {
  const { cause, rc, signal, at, by, note, worker, first, cancelled_by, cancel_requested_at: asked } = end
  const time = (ms: number | undefined) => (ms === undefined ? undefined : formatDuration(ms))
  return [
    ['cause', cause],
    ['code', rc],
    ['signal', signal],
    ['first to fail', first && describeFirst(first)],
    ['started', end.started_at === undefined ? undefined : formatTime(end.started_at)],
    ['ended', formatTime(at)],
    ['waited', cause === 'ttl' ? time(end.waited_ms) : undefined],
    ['ran', time(end.ran_ms)],
    ['allowed', time(end.limit_ms)],
    ['memory', describeMemory(end)],
    ['said by', by],
    ['with', note],
    ['cancelled by', cancelled_by && `${cancelled_by}${asked === undefined ? '' : `, ${formatTime(asked)}`}`],
    ['worker', worker?.name],
    ...(worker
      ? ([
          ['attempts', end.attempts],
          ['signed by the worker', end.attested ? 'yes' : 'no'],
        ] as const)
      : []),
  ]
}

function describeFirst({ job, cause, rc }: NonNullable<Ended['first']>): string {
  return [...(job === undefined ? [] : [job]), cause, ...(rc === undefined ? [] : [`code ${rc}`])].join(', ')
}

function describeMemory({ max_rss_bytes: most, memory_bytes: asked }: Ended): string | undefined {
  if (most === undefined) return undefined
  return `${formatSize(most)} at most${asked === undefined ? '' : `, of ${formatSize(asked)} that it asked for`}`
}

function describeWorkers(one: Group, now: number): readonly string[] {
  const { workers, count, says, requirement, wants, change, until, until_most, note, notes = [], of, before = [] } = one
  const more = count > workers.length ? ` and ${count - workers.length} more` : ''
  const last = until_most === undefined ? '' : `; the last ${sayUntil(until_most, now)}`
  return fields([
    [count === 1 ? 'worker' : 'workers', `${workers.map(({ name }) => name).join(', ')}${more}`],
    ['  why', says],
    [`  ${requirement}`, requirement && `wanted ${describeWanted(requirement, wants)}, there ${describeHas(one)}`],
    ['  cordon of', of && (of === 'binding' ? 'its binding' : 'the worker')],
    ['  mishaps', one.mishaps],
    ['  before it', before.map(describeBefore).join(', ')],
    ...[note, ...notes].map((said) => ['  said', said] as const),
    ['  until', until === undefined ? undefined : `${sayUntil(until, now)}${last}`],
    ['  changes when', change],
  ])
}

const sayUntil = (until: number, now: number) => `${formatTime(until)}, in ${formatDuration(Math.max(0, until - now))}`
