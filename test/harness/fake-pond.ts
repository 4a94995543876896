// A scripted pond in memory: enforces routes, schemas and the token, holds calls like the real one, and does only what a test tells it.
import { createHash } from 'node:crypto'
import type { AttemptView, JobView } from '../../src/protocol/consumer.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { matchRoute, type RouteName, routes } from '../../src/protocol/route.ts'
import { type Dsse, payloadType } from '../../src/protocol/sealed.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { openDsse } from '../../src/seal/dsse.ts'
import type { HttpReply, HttpRequest, Network } from '../../src/system/network.ts'
import { FakeSafe } from './fake-safe.ts'
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
  /** What a submit does; its reply may be lost. */
  submit(call: FakeCall): JobView
  /** Looked at before the pond itself: a reply instead of the real one, or a throw for a line that breaks. */
  intercept: Answering | undefined
  /** Replies for routes that need no state. */
  readonly answers: Partial<Record<RouteName, unknown>>
  /** Its keys, workers, recipients, credentials and bundles. */
  readonly safe: FakeSafe
  addJob(change?: Partial<JobView>): JobView
  change(id: string, change: Partial<JobView>): void
  /** `stream` is a name, with `@2` behind it for the second attempt. */
  write(id: string, stream: string, text: string | Uint8Array): void
  end(id: string, stream: string, end: string): void
}

const BODY = '01kaab00000000000000'

export function fakeId(prefix: string, number: number): string {
  return `${prefix}_${BODY}${String(number).padStart(6, '0')}`
}

export function createFakePond(clock: VirtualClock): FakePond {
  return new ScriptedPond(clock)
}

class ScriptedPond implements FakePond {
  readonly jobs = new Map<string, JobView>()
  readonly attempts = new Map<string, AttemptView[]>()
  readonly calls: FakeCall[] = []
  readonly answers: Partial<Record<RouteName, unknown>> = {}
  readonly safe = new FakeSafe()
  intercept: Answering | undefined
  readonly #streams = new Map<string, FakeStream>()
  readonly #waiting = new Set<() => void>()
  /** Jobs by their Idempotency-Key. */
  readonly #submitted = new Map<string, string>()
  readonly #clock: VirtualClock

  constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  addJob(change: Partial<JobView> = {}): JobView {
    const job: JobView = { ...blankJob(fakeId('job', this.jobs.size), this.#clock.now()), ...change }
    this.jobs.set(job.id, job)
    this.#wake()
    return job
  }

  change(id: string, change: Partial<JobView>): void {
    const job = this.#job(id)
    this.jobs.set(id, { ...job, ...change, version: job.version + 1 })
    this.#wake()
  }

  write(id: string, stream: string, text: string | Uint8Array): void {
    const found = this.#stream(id, stream)
    found.bytes = Buffer.concat([found.bytes, Buffer.from(text)])
    this.#wake()
  }

  end(id: string, stream: string, end: string): void {
    this.#stream(id, stream).end = end
    this.#wake()
  }

  readonly network: Network = async (request) => {
    const call = toCall(request)
    if (!call) return errorReply('not_found', `no route ${request.method} ${request.url}`)
    this.calls.push(call)
    const scripted = await this.intercept?.(call)
    return scripted ?? refusalOf(call) ?? (await this.#serve(call))
  }

  async #serve(call: FakeCall): Promise<HttpReply> {
    const { name, query, params } = call
    if (name in this.answers) return jsonReply(this.answers[name])
    if (name === 'listJobs') return jsonReply({ items: listed([...this.jobs.values()], query), next: null })
    if (name === 'submitJob') return jsonReply(this.submit(call), 201)
    const kept = this.safe.serve(call)
    if (kept) return kept
    const id = params.id ?? ''
    if (!this.jobs.has(id)) return errorReply('not_found', `there is no job ${id}`)
    if (name === 'getJob') return this.#getJob(call, id)
    if (name === 'listAttempts') return jsonReply({ items: this.attempts.get(id) ?? [] })
    if (name === 'readStream') return this.#readStream(call, id)
    if (name === 'cancelJob') return this.#cancel(id)
    return errorReply('unsupported', `the fake pond does not answer ${name}`)
  }

  submit({ headers, body }: FakeCall): JobView {
    const key = headers['idempotency-key'] ?? String(this.jobs.size)
    const known = this.#submitted.get(key)
    if (known !== undefined) return this.#job(known)
    const bytes = exactBytes(body)
    const { command, recipients = [], credential, bundle } = JSON.parse(bytes.toString('utf8'))
    const named = { ...(credential && { credential }), ...(bundle && { bundle }) }
    const job = this.addJob({ command, recipients, ...named, digest: digestOf(bytes) })
    this.#submitted.set(key, job.id)
    return job
  }

  #cancel(id: string): HttpReply {
    if (isFinal(this.#job(id).state)) return errorReply('not_possible', 'the job has ended')
    this.change(id, { cancel_requested_at: this.#clock.now() })
    return jsonReply(this.#job(id))
  }

  async #getJob(call: FakeCall, id: string): Promise<HttpReply> {
    const above = Number(call.query.above ?? Number.POSITIVE_INFINITY)
    await this.#hold(call, () => this.#job(id).version > above || isFinal(this.#job(id).state))
    return jsonReply(this.#job(id))
  }

  async #readStream(call: FakeCall, id: string): Promise<HttpReply> {
    const most = this.#job(id).attempts
    const attempt = Number(call.query.attempt ?? most)
    const offset = Number(call.query.offset ?? 0)
    if (attempt < 1 || attempt > most) return errorReply('not_found', 'no attempt yet', { reason: 'no_attempt' })
    const stream = this.#stream(id, `${call.params.name}@${attempt}`)
    await this.#hold(call, () => stream.bytes.length > offset || stream.end !== 'open')
    const bytes = stream.bytes.subarray(offset)
    const next = `${offset + bytes.length}`
    return reply(200, { 'pond-attempt': `${attempt}`, 'pond-next-offset': next, 'pond-end': stream.end }, bytes)
  }

  /** Holds a call until `ready`, its wait is over, or the caller gives up. */
  #hold({ query, signal }: FakeCall, ready: () => boolean): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const finish = (then: () => void) => {
        stop()
        this.#waiting.delete(look)
        signal?.removeEventListener('abort', abort)
        then()
      }
      const look = () => {
        if (ready()) finish(resolve)
      }
      const abort = () => finish(() => reject(new Error('aborted')))
      const stop = this.#clock.after(Number(query.wait_ms ?? 0), () => finish(resolve))
      this.#waiting.add(look)
      signal?.addEventListener('abort', abort)
      look()
    })
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look()
  }

  #job(id: string): JobView {
    const job = this.jobs.get(id)
    if (!job) throw new Error(`no job ${id}`)
    return job
  }

  #stream(id: string, named: string): FakeStream {
    const [name = '', attempt = '1'] = named.split('@')
    const key = `${id}/${attempt}/${name}`
    const found = this.#streams.get(key) ?? { bytes: Buffer.alloc(0), end: 'open' }
    this.#streams.set(key, found)
    return found
  }
}

function toCall(request: HttpRequest): FakeCall | undefined {
  const url = new URL(request.url)
  const found = matchRoute(request.method, url.pathname)
  if (!found || found === 'other method') return undefined
  const route: Route = routes[found.name]
  const bytes = request.body === undefined ? undefined : Buffer.from(request.body)
  return {
    ...found,
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    body: bytes === undefined || route.body === 'bytes' ? bytes : JSON.parse(bytes.toString()),
    signal: request.signal,
  }
}

/** The payload of a signed job, if its own key signed it; else the RFC 8785 form. */
function exactBytes(body: unknown): Buffer {
  const { signed } = body as { signed?: Dsse }
  return signed ? openDsse(signed, payloadType.job, signed.signatures[0]?.keyid ?? '') : canonicalBytes(body)
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function refusalOf({ name, query, headers, body }: FakeCall): HttpReply | undefined {
  const route: Route = routes[name]
  if (headers.authorization !== `Bearer ${FAKE_TOKEN}`) return errorReply('unauthenticated', 'the token is not known')
  const wrong = [
    route.query ? route.query.safeParse(query) : undefined,
    route.body && typeof route.body !== 'string' ? route.body.safeParse(body) : undefined,
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
    recipients: [],
    attested: false,
  }
}
