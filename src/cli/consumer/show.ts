// pond show: one job with its transitions, its attempts and their streams.

import type { z } from 'zod'
import type { AttemptView, JobView, transitionList } from '../../protocol/consumer.ts'
import { isFinal, type Requires } from '../../protocol/job.ts'
import { describeAllowed } from '../../state/label.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatDuration, formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, resolveJob, withSession } from '../session.ts'
import { formatSize } from '../size.ts'
import { endOf } from './adopt.ts'
import { describeTally } from './attend-array.ts'

type Transition = z.infer<typeof transitionList>['items'][number]

export function show(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { client, out } = session
    const params = { id: await resolveJob(session, flags.job) }
    const [shown, changed, tried] = await Promise.all([
      client.call('getJob', { params }),
      client.call('listTransitions', { params }),
      client.call('listAttempts', { params }),
    ])
    const job = need(`show ${params.id}`, shown)
    const transitions = need('list the transitions', changed).items
    const attempts = need('list the attempts', tried).items
    await out.result({ job, transitions, attempts }, () => [
      ...describeJob(job),
      '',
      ...transitions.map(describeTransition),
      ...attempts.flatMap((attempt) => ['', ...describeAttempt(attempt)]),
    ])
    for (const line of adoptable(job, attempts)) await out.note(line)
    return 0
  })
}

function describeJob(job: JobView): readonly string[] {
  const time = (at: number | undefined) => (at === undefined ? undefined : formatTime(at))
  return fields([
    ['job', job.id],
    ['project', job.project],
    ['state', job.state],
    ['elements', job.array && describeTally(job.array)],
    ['of', job.array_id],
    ['cause', job.cause],
    ['code', job.rc],
    ['message', job.message],
    ['command', job.command.map(quote).join(' ')],
    ['labels', pairs(job.labels)],
    ['priority', job.priority],
    ['requires', job.requires && describeRequires(job.requires)],
    ['waits for', job.after?.map(({ job, on }) => (on === 'end' ? `the end of ${job}` : job)).join(', ')],
    ['idempotent', job.idempotent],
    ['attempts', job.attempts],
    ['worker', job.worker],
    ['created', time(job.created_at)],
    ['not before', time(job.not_before)],
    ['expires', time(job.expires_at)],
    ['started', time(job.started_at)],
    ['cancel asked', time(job.cancel_requested_at)],
    ['ended', time(job.ended_at)],
    ['usage', describeUsage(job.usage)],
    ['adopted', job.adopted && describeAdoption(job.adopted)],
    ['replay of', job.replay_of],
    ['replayed by', job.replayed_by],
    ['dismissed', time(job.dismissed_at)],
    ['result', job.has_result ? 'yes (pond result)' : undefined],
    ['digest', job.digest],
  ])
}

/** As flags would say it; what is newer than this program shows as it came. */
function describeRequires({ labels, gpus, ...rest }: NonNullable<JobView['requires']>): string {
  const { count, model, min_vram_bytes: each } = (gpus ?? {}) as Partial<NonNullable<Requires['gpus']>>
  const sizes = each === undefined ? '' : ` of ${formatSize(each)}`
  return [
    ...Object.entries((labels ?? {}) as NonNullable<Requires['labels']>).map(([key, need]) =>
      describeAllowed(key, need),
    ),
    ...Object.entries(rest).map(([name, value]) => {
      const isSize = name.endsWith('_bytes') && typeof value === 'number'
      return isSize ? `${name.slice(0, -'_bytes'.length)} ${formatSize(value)}` : `${name} ${value}`
    }),
    ...(count === undefined ? [] : [`gpus ${count}${model === undefined ? '' : ` ${model}`}${sizes}`]),
  ].join(', ')
}

function describeAdoption({ attempt, by, at, ...end }: NonNullable<JobView['adopted']>): string {
  return `attempt ${attempt} (${endOf(end)}), by ${by} on ${formatTime(at)}`
}

/** A late result that nobody was told of is lost all the same. */
function adoptable({ id, state, adopted }: JobView, attempts: readonly AttemptView[]): readonly string[] {
  if (adopted) return []
  const next = isFinal(state) ? `pond adopt ${id} --attempt` : 'it can be adopted when the job has ended: attempt'
  return attempts
    .filter(({ orphan }) => orphan)
    .map((it) => `attempt ${it.attempt} finished after pond had given it up (${endOf(it)}); ${next} ${it.attempt}`)
}

function describeTransition({ at, from, to, by, cause, note }: Transition): string {
  const why = [cause, note].filter((text) => text !== undefined).join(': ')
  return `${formatTime(at)}  ${from === null ? '' : `${from} → `}${to}  by ${by}${why && `  (${why})`}`
}

function describeAttempt(attempt: AttemptView): readonly string[] {
  const end = [attempt.cause, attempt.rc, attempt.message].filter((text) => text !== undefined).join(' ')
  const streams = attempt.streams.map(({ name, bytes, produced, end: how }) => {
    const of = produced === undefined || produced === bytes ? '' : ` of ${formatSize(produced)}`
    return [`  ${name}`, `${formatSize(bytes)}${of}${how && how !== 'complete' ? `, ${how}` : ''}`] as const
  })
  return fields([
    [`attempt ${attempt.attempt}`, `${attempt.state}${attempt.orphan ? ', orphan' : ''}${end && ` (${end})`}`],
    ['  claim', attempt.claim_id],
    ['  worker', `${attempt.worker_name} ${attempt.worker}`],
    ['  claimed', formatTime(attempt.claimed_at)],
    ['  started', attempt.started_at === undefined ? undefined : formatTime(attempt.started_at)],
    ['  ended', attempt.ended_at === undefined ? undefined : formatTime(attempt.ended_at)],
    ['  usage', describeUsage(attempt.usage)],
    ...streams,
  ])
}

function describeUsage(usage: JobView['usage']): string | undefined {
  if (!usage) return undefined
  const figures = `cpu ${formatDuration(usage.cpu_ms)}, memory ${formatSize(usage.max_rss_bytes)}, ran ${formatDuration(usage.wall_ms)}`
  return usage.sampled ? `${figures} (sampled)` : figures
}

export function pairs(record: Readonly<Record<string, string>>): string {
  return Object.entries(record)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
