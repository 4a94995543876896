// A scripted pond in memory: enforces routes, schemas and the token, holds calls like the real one, and does only what a test tells it.
import { createHash } from 'node:crypto'
import type { AttemptView, JobView } from '../../src/protocol/consumer.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { matchRoute, type RouteName, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import type { HttpReply, HttpRequest, Network } from '../../src/system/network.ts'
import { errorReply, jsonReply, reply } from './http-reply.ts'
import type { VirtualClock } from './virtual-clock.ts'

export const FAKE_URL = 'http://pond.localhost:7460'
export const FAKE_TOKEN = 'pond_key_abcdefghijklmnopqrstuvwxyz'

export interface FakeCall {
  readonly name: RouteName
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
  readonly signal: AbortSignal | undefined
}

type Answering = (call: FakeCall) => HttpReply | Promise<HttpReply> | undefined

interface FakeStream {
  bytes: Buffer
  end: string
}

export interface FakePond {
  readonly network: Network
  readonly calls: FakeCall[]
  readonly jobs: Map<string, JobView>
  readonly attempts: Map<string, AttemptView[]>
  /** Looked at before the pond itself: a reply instead of the real one, or a throw for a line that breaks. */
  intercept: Answering | undefined
  /** Replies for routes that need no state. */
  readonly answers: Partial<Record<RouteName, unknown>>
  addJob(change?: Partial<JobView>): JobView
  change(id: string, change: Partial<JobView>): void
  write(id: string, stream: string, text: string, attempt?: number): void
  end(id: string, stream: string, end: string, attempt?: number): void
  /** Resolves with the first call of this name, past or future. */
  called(name: RouteName): Promise<FakeCall>
}

const BODY = '01kaab00000000000000000000'

export function fakeId(prefix: string, number: number): string {
  return `${prefix}_${BODY.slice(0, 20)}${String(number).padStart(6, '0')}`
}

export function createFakePond(clock: VirtualClock): FakePond {
  const jobs = new Map<string, JobView>()
  const attempts = new Map<string, AttemptView[]>()
  const streams = new Map<string, FakeStream>()
  const calls: FakeCall[] = []
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  const streamOf = (id: string, name: string, attempt: number) => {
    const key = `${id}/${attempt}/${name}`
    const found = streams.get(key) ?? { bytes: Buffer.alloc(0), end: 'open' }
    streams.set(key, found)
    return found
  }
  /** Holds a call until `ready`, its wait is over, or the caller gives up. */
  const hold = (ready: () => boolean, waitMs: number, signal: AbortSignal | undefined) =>
    new Promise<void>((resolve, reject) => {
      const stop = clock.after(waitMs, () => finish(resolve))
      const look = () => ready() && finish(resolve)
      const abort = () => finish(() => reject(new Error('aborted')))
      const finish = (then: () => void) => {
        stop()
        waiting.delete(look)
        signal?.removeEventListener('abort', abort)
        then()
      }
      waiting.add(look)
      signal?.addEventListener('abort', abort)
      look()
    })

  const pond: FakePond = {
    calls,
    jobs,
    attempts,
    answers: {},
    intercept: undefined,
    network: (request) => answer(request),
    addJob(change = {}) {
      const job: JobView = { ...blankJob(fakeId('job', jobs.size), clock.now()), ...change }
      jobs.set(job.id, job)
      wake()
      return job
    },
    change(id, change) {
      const job = jobs.get(id)
      if (!job) throw new Error(`no job ${id}`)
      jobs.set(id, { ...job, ...change, version: job.version + 1 })
      wake()
    },
    write(id, stream, text, attempt = 1) {
      const found = streamOf(id, stream, attempt)
      found.bytes = Buffer.concat([found.bytes, Buffer.from(text)])
      wake()
    },
    end(id, stream, end, attempt = 1) {
      streamOf(id, stream, attempt).end = end
      wake()
    },
    async called(name) {
      const find = () => calls.find((call) => call.name === name)
      await clock.until(() => find() !== undefined)
      const found = find()
      if (!found) throw new Error(`${name} was not called`)
      return found
    },
  }

  async function answer(request: HttpRequest): Promise<HttpReply> {
    const url = new URL(request.url)
    const found = matchRoute(request.method, url.pathname)
    if (!found || found === 'other method') return errorReply('not_found', `no route ${request.method} ${url.pathname}`)
    const text = request.body === undefined ? undefined : Buffer.from(request.body).toString()
    const call: FakeCall = {
      ...found,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === undefined ? undefined : JSON.parse(text),
      signal: request.signal,
    }
    calls.push(call)
    wake()
    const scripted = await pond.intercept?.(call)
    return scripted ?? refusalOf(call) ?? (await serve(call))
  }

  async function serve(call: FakeCall): Promise<HttpReply> {
    if (call.name in pond.answers) return jsonReply(pond.answers[call.name])
    if (call.name === 'listJobs') return jsonReply({ items: listed([...jobs.values()], call.query), next: null })
    if (call.name === 'submitJob') return jsonReply(submitted(call), 201)
    const id = call.params.id ?? ''
    const job = jobs.get(id)
    if (!job) return errorReply('not_found', `there is no job ${id}`)
    if (call.name === 'getJob') return getJob(call, job)
    if (call.name === 'listAttempts') return jsonReply({ items: attempts.get(id) ?? [] })
    if (call.name === 'readStream') return readStream(call, job)
    if (call.name === 'cancelJob') {
      if (isFinal(job.state)) return errorReply('not_possible', 'the job has ended')
      pond.change(id, { cancel_requested_at: clock.now() })
      return jsonReply(jobs.get(id))
    }
    return errorReply('unsupported', `the fake pond does not answer ${call.name}`)
  }

  function submitted({ headers, body }: FakeCall): JobView {
    const digest = digestOf(headers['idempotency-key'] ?? String(jobs.size))
    const { command } = body as { command: string[] }
    return [...jobs.values()].find((job) => job.digest === digest) ?? pond.addJob({ command, digest })
  }

  async function getJob({ query, signal }: FakeCall, { id }: JobView): Promise<HttpReply> {
    const now = () => jobs.get(id)
    const ready = () =>
      (now()?.version ?? 0) > Number(query.above ?? Number.POSITIVE_INFINITY) || isFinal(now()?.state ?? 'failed')
    await hold(ready, Number(query.wait_ms ?? 0), signal)
    return jsonReply(now())
  }

  async function readStream({ params, query, signal }: FakeCall, job: JobView): Promise<HttpReply> {
    const attempt = Number(query.attempt ?? job.attempts)
    const offset = Number(query.offset ?? 0)
    if (attempt < 1 || attempt > (jobs.get(job.id)?.attempts ?? 0)) {
      return errorReply('not_found', 'no attempt yet', { reason: 'no_attempt' })
    }
    const stream = streamOf(job.id, params.name ?? '', attempt)
    await hold(() => stream.bytes.length > offset || stream.end !== 'open', Number(query.wait_ms ?? 0), signal)
    const bytes = stream.bytes.subarray(offset)
    const headers = {
      'pond-attempt': `${attempt}`,
      'pond-next-offset': `${offset + bytes.length}`,
      'pond-end': stream.end,
    }
    return reply(200, headers, bytes)
  }

  return pond
}

/** The fake keeps the digest of a job's Idempotency-Key in place of the job's own. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

function refusalOf({ name, query, headers, body }: FakeCall): HttpReply | undefined {
  const route: Route = routes[name]
  if (headers.authorization !== `Bearer ${FAKE_TOKEN}`) return errorReply('unauthenticated', 'the token is not known')
  const wrong = [
    route.query ? route.query.safeParse(query) : undefined,
    route.body && route.body !== 'bytes' ? route.body.safeParse(body) : undefined,
  ].find((parsed) => parsed?.success === false)
  return wrong?.error && errorReply('invalid_field', wrong.error.message)
}

function listed(jobs: readonly JobView[], query: FakeCall['query']): readonly JobView[] {
  const wanted = jobs.filter(({ state }) => query.state === undefined || state === query.state)
  return wanted.reverse().slice(0, Number(query.limit ?? 50))
}

function blankJob(id: string, now: number): JobView {
  return {
    id,
    project: 'default',
    state: 'queued',
    version: 1,
    digest: '0'.repeat(64),
    command: ['true'],
    labels: {},
    priority: 5,
    idempotent: false,
    attempts: 0,
    created_at: now,
    has_result: false,
  }
}
