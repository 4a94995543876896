// Tells a person why nothing happens yet: one rewritten line on a terminal, one plain line after ten seconds elsewhere.
import type { Client } from '../client/contract.ts'
import type { JobView, WorkerView } from '../protocol/consumer.ts'
import { mayKeepSecrets } from '../state/match.ts'
import { type Cancel, every } from '../system/clock.ts'
import { formatDuration } from './duration.ts'
import type { Io } from './io.ts'
import type { Output } from './output.ts'
import type { JobWatch } from './watch.ts'

const TURN_MS = 1000
/** Workers come and go slowly; asking each second would be rude. */
const ASK_TURNS = 5
/** Off a terminal a short wait is not worth a line in somebody's log. */
const PLAIN_AFTER_MS = 10_000

export interface WaitingParts {
  readonly io: Pick<Io, 'clock' | 'stderr'>
  readonly client: Client
  readonly out: Output
  readonly watch: JobWatch
}

/** Runs until cancelled; a job that goes back to the queue waits anew. */
export function showWaiting({ io, client, out, watch }: WaitingParts): Cancel {
  const { clock, stderr } = io
  let began = clock.monotonic()
  let turns = 0
  let reason = ''
  let said = false
  return every(clock, TURN_MS, async () => {
    const job = watch.job()
    if (!job || !['waiting', 'queued', 'claimed'].includes(job.state)) {
      began = clock.monotonic()
      said = false
      return out.status(undefined)
    }
    const waited = clock.monotonic() - began
    if (!stderr.isTty && (said || waited < PLAIN_AFTER_MS)) return
    if (!stderr.isTty || turns++ % ASK_TURNS === 0) reason = await reasonOf(client, job)
    const text = `${job.state} ${formatDuration(waited)}${reason && `: ${reason}`}`
    said = true
    await (stderr.isTty ? out.status(text) : out.note(`${job.id} is ${text}`))
  })
}

async function reasonOf(client: Client, job: JobView): Promise<string> {
  const answer = await client.call('listWorkers')
  if (!answer.ok) return ''
  const { items } = answer.reply
  const online = items.filter(({ state }) => state === 'online')
  if (items.length === 0) return 'no worker is paired (pond pairing create)'
  if (online.length === 0) return whyNone(items)
  const returned = await returnedBy(client, job, items)
  if (returned !== undefined) return returned
  const held = await heldBack(client, job)
  if (held !== undefined) return held
  const fit = online.filter((worker) => !isSecret(job) || mayKeepSecrets(worker))
  if (fit.length === 0)
    return 'no worker online keeps jobs apart, so it goes to none (swarm doctor, swarm run --allow-unsandboxed, or --plain without secrets)'
  const free = fit.reduce((sum, { slots, inflight }) => sum + Math.max(0, slots - inflight), 0)
  return free === 0 ? `no free slot on ${fit.length} worker${fit.length === 1 ? '' : 's'}` : ''
}

/** Workers that are there say nothing of a project of which nothing is handed out now. */
async function heldBack(client: Client, { id, state }: JobView): Promise<string | undefined> {
  if (state !== 'queued') return undefined
  const answer = await client.call('explainJob', { params: { id } })
  const waiting = answer.ok ? answer.reply.waiting : undefined
  return answer.ok && waiting?.paused ? answer.reply.says : waiting?.quota?.says
}

/** The last that happened is that a worker had it and gave it back, with a reason. */
async function returnedBy(
  client: Client,
  { id, state }: JobView,
  workers: readonly WorkerView[],
): Promise<string | undefined> {
  if (state !== 'queued') return undefined
  const answer = await client.call('listTransitions', { params: { id } })
  const last = answer.ok ? answer.reply.items.at(-1) : undefined
  if (last?.from !== 'claimed' || last.note === undefined) return undefined
  const worker = workers.find((it) => last.by.endsWith(`:${it.id}`))
  return `given back by ${worker?.name ?? last.by}: ${last.note}`
}

const NAMED_MOST = 3

/** Those that are there and take no jobs say why. */
function whyNone(workers: readonly WorkerView[]): string {
  const there = workers.filter(({ state }) => state !== 'offline' && state !== 'revoked')
  if (there.length === 0) return 'no worker online'
  const named = there
    .slice(0, NAMED_MOST)
    .map(({ name, state, note }) => `${name} is ${state}${note ? ` (${note})` : ''}`)
  const more = there.length - named.length
  return `no worker takes jobs now: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function isSecret({ credential, bundle, recipients }: JobView): boolean {
  return credential !== undefined || bundle !== undefined || recipients.length > 0
}
