// The verbs that talk to a running swarm over its control.sock: status and drain; and how others ask it.
import { join } from 'node:path'
import { readAll } from '../../client/decode.ts'
import type { SwarmStatus } from '../../orchestrator/status.ts'
import { poolHome } from '../config.ts'
import { formatAgo, formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput, fields } from '../output.ts'
import { describeResources } from '../resource.ts'

export interface PoolFlags {
  readonly home?: string
  readonly json?: boolean
}

type Order = 'status' | 'drain' | 'pause' | 'resume' | 'rules' | 'rotate'

/** A swarm on the same machine that does not answer in this time hangs. */
const DEADLINE_MS = 5000

export async function control(
  io: Io,
  order: 'status' | 'drain',
  flags: PoolFlags & { readonly deadline?: number },
): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const body = order === 'drain' && flags.deadline !== undefined ? { deadline_ms: flags.deadline } : undefined
  const status = await askSwarm(io, { home: poolHome(io.env, flags.home), order, body })
  await out.result(status, () =>
    order === 'status' ? describe(status, io.clock.now()) : `${status.name} is ${status.state}`,
  )
  return 0
}

interface Question {
  readonly home: string
  readonly order: Order
  readonly body?: unknown
  readonly deadlineMs?: number
}

export async function askSwarm(io: Io, question: Question): Promise<SwarmStatus> {
  const { home, order, body, deadlineMs = DEADLINE_MS } = question
  const network = io.connect(join(home, 'control.sock'))
  const sent = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }
  try {
    const reply = await network.request({
      method: order === 'status' ? 'GET' : 'POST',
      url: `http://swarm.localhost/${order}`,
      headers: { 'content-type': 'application/json' },
      deadlineMs,
      ...sent,
    })
    const text = (await readAll(reply.body)).toString('utf8')
    if (reply.status >= 300) throw refusedBySwarm(order, text)
    return JSON.parse(text) as SwarmStatus
  } catch (cause) {
    if (cause instanceof Failure) throw cause
    throw new Failure({
      what: `no swarm answers on ${home}`,
      why: cause instanceof Error ? cause.message : String(cause),
      next: 'Start one with swarm run, or name its folder with --home.',
      exit: 'unreachable',
      cause,
    })
  } finally {
    await network.close()
  }
}

interface Refused {
  readonly error: { readonly code: string; readonly message: string }
  /** It obeys all the same, until this run ends. */
  readonly status?: SwarmStatus
}

/** It runs, and says no, or not quite. */
function refusedBySwarm(order: Order, text: string): Failure {
  const { error, status } = JSON.parse(text) as Refused
  if (status) {
    return new Failure({
      what: `${status.name} is ${status.state}, but only until this run ends`,
      why: error.message,
      next: 'Mend that file, then give the order again.',
    })
  }
  return new Failure({
    what: `the running swarm refused ${order}`,
    why: error.message,
    next: 'Look with swarm status, and at its log.',
  })
}

function describe(status: SwarmStatus, now: number): readonly string[] {
  const poll = status.since_poll_ms === undefined ? 'never' : `${formatDuration(status.since_poll_ms)} ago`
  return [
    ...fields([
      ['swarm', status.name],
      ['state', status.healthy ? status.state : `${status.state}, not healthy`],
      ['note', status.note],
      ['class', status.class],
      ['pond', status.pond],
      ['project', status.project],
      ['binding', status.binding_id],
      ['worker', status.worker_id],
      ['fingerprint', status.fingerprint],
      ['version', status.version],
      ['executor', `${status.executor}, kills whole trees by ${status.rung}`],
      ['sandbox', status.allow_unsandboxed ? `${status.sandbox}, confidential jobs in any case` : status.sandbox],
      ['slots', `${status.slots - status.free} of ${status.slots} in use`],
      ['for jobs', status.workers[0] && describeResources(status.workers[0].resources)],
      ['polled', status.missed_holds > 0 ? `${poll}, ${status.missed_holds} without a reply since` : poll],
      ['hold', formatDuration(status.hold_ms)],
      ['clock', `pond is ${formatDuration(Math.abs(status.skew_ms))} ${status.skew_ms < 0 ? 'behind' : 'ahead'}`],
    ]),
    ...(status.workers.length > 1 ? status.workers.map(describeWorker) : []),
    ...status.claims.map(({ job_id, state, started_at }) => {
      return `  ${job_id} ${state}${started_at === undefined ? '' : `, started ${formatAgo(started_at, now)}`}`
    }),
    ...status.orphans.map(({ job_id }) => `  ${job_id} came too late and is kept beside the job: pond show ${job_id}`),
  ]
}

function describeWorker({ name, worker_id, slots, free, fingerprint, state }: SwarmStatus['workers'][number]): string {
  return `  ${name} ${worker_id} ${state}, ${slots - free} of ${slots} slots in use, fingerprint ${fingerprint}`
}
