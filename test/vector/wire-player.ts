// Plays a recorded swarm against the pond of now: each request as it was, at its time and in its turn, and what the recorded swarm would miss in the replies.
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { matchRoute, routes } from '../../src/protocol/route.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallSigner } from '../../src/seal/request-signature.ts'
import type { PondRig } from '../harness/pond.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { fillAll, isTemplate, macOf, Variables } from './wire-variable.ts'
import type { Exchange, Story } from './wire-vector.ts'

/** Told to people, others each time, or pond's own to choose: only their type is judged. `protocol` and `oldest` are what may rise. */
const varying = new Set([
  ...['message', 'help', 'note', 'request_id', 'protocol', 'oldest', 'mac', 'box', 'sig', 'return_ms'],
  ...['created_at', 'expires_at', 'token_expires_at', 'submitted_at', 'updated_at', 'ended_at'],
])

const random = createSeededRandom(5)
/** A reply that was there at once may wait for a disk now. */
const PATIENCE_MS = 5000

/** What was told otherwise than it was recorded, in the order of the exchanges; nothing when all is well. */
export async function playSwarm(rig: PondRig, { exchanges, keys }: Story): Promise<readonly string[]> {
  const variables = new Variables({ admin: rig.adminToken })
  const startedAt = rig.clock.now()
  const faults: string[] = []
  const open = new Map<number, Promise<void>>()
  const moveTo = (ms: number) => rig.clock.advance(Math.max(0, startedAt + ms - rig.clock.now()))

  async function finish(index: number, until: number): Promise<void> {
    await moveTo(until)
    for (let waited = 0; open.has(index) && waited < PATIENCE_MS; waited += 50) await rig.clock.advance(50)
    if (open.has(index)) faults.push(`exchange ${index}: it is not answered`)
    open.delete(index)
  }

  for (const [index, exchange] of exchanges.entries()) {
    for (const before of open.keys()) {
      const reply = exchanges[before]?.reply
      if (reply && reply.before <= index) await finish(before, reply.at)
    }
    await moveTo(exchange.at)
    const request = tryTo(() => requestOf(exchange, { variables, keys, rig }))
    if (request instanceof Error) return [...faults, `exchange ${index}, ${exchange.route}: ${request.message}`]
    const answered = rig.pond.answer(request).then(async (reply) => {
      const told = faultsOf(exchange, { status: reply.status, body: await readBody(reply) }, variables)
      // Only what stands under /orch is of this wire; the consumer's calls set the stage.
      const isWire = exchange.path.startsWith('/orch/')
      if (isWire) faults.push(...told.map((fault) => `exchange ${index}, ${exchange.route}: ${fault}`))
      open.delete(index)
    })
    open.set(index, answered)
  }
  for (const index of open.keys()) await finish(index, exchanges[index]?.reply.at ?? 0)
  return faults
}

/** What an earlier fault kept from being told cannot be said. */
function tryTo<T>(run: () => T): T | Error {
  try {
    return run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

interface Stage {
  readonly variables: Variables
  readonly keys: Story['keys']
  readonly rig: PondRig
}

function requestOf(exchange: Exchange, { variables, keys, rig }: Stage): PondRequest {
  const fill = (text: string) => variables.fill(text)
  const search = fill(exchange.query)
  const request: PondRequest = {
    method: exchange.method,
    path: fill(exchange.path),
    query: Object.fromEntries(new URLSearchParams(search)),
    search,
    headers: Object.fromEntries(Object.entries(exchange.headers).map(([name, value]) => [name, fill(value)])),
    ...(exchange.body && { body: bytesOf(exchange, { variables, keys }) }),
    signal: () => new AbortController().signal,
  }
  return signed(streamed(request), exchange, { variables, keys, rig })
}

/** As the front hands over what is too large to be held. */
function streamed(request: PondRequest): PondRequest {
  const found = matchRoute(request.method, request.path)
  if (typeof found !== 'object') throw new Error(`${request.path} is no route`)
  const { body: kind } = routes[found.name] as { readonly body?: unknown }
  return kind === 'stream' && request.body ? { ...request, stream: once(request.body) } : request
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

function signed(request: PondRequest, { signer }: Exchange, { keys, rig }: Stage): PondRequest {
  const privateKey = signer && keys[signer]
  if (!signer || !privateKey) return request
  const pondKey = rig.pond.services.core.keys.publicKey
  const sign = createCallSigner({ publicKey: signer, privateKey }, hashPondKey(pondKey))
  const own = sign(request, { createdMs: rig.clock.now(), nonce: random.bytes(16) })
  return { ...request, headers: { ...request.headers, ...own } }
}

function bytesOf({ route, body }: Exchange, { variables, keys }: Pick<Stage, 'variables' | 'keys'>): Buffer {
  if (!body || 'base64' in body) return Buffer.from(body?.base64 ?? '', 'base64')
  const fill = (mac: string) => fillAll(body.json, new Variables({ ...variables.all(), mac }), keys)
  const mac = JSON.stringify(body.json).includes('{{mac}}') ? macOf(route, fill(''), variables) : undefined
  return Buffer.from(JSON.stringify(fill(mac ?? '')))
}

async function readBody(reply: PondReply): Promise<unknown> {
  const parts: Buffer[] = []
  const whole = typeof reply.body === 'string' || reply.body instanceof Uint8Array
  for await (const part of whole ? [reply.body] : reply.body) parts.push(Buffer.from(part as string))
  const bytes = Buffer.concat(parts)
  return reply.headers['content-type']?.startsWith('application/json') ? JSON.parse(bytes.toString()) : bytes
}

/** Exported so that a test sees it fail. */
export function faultsOf(
  { reply }: Pick<Exchange, 'reply'>,
  told: { readonly status: number; readonly body: unknown },
  variables: Variables,
): readonly string[] {
  const status = reply.status === told.status ? [] : [`status ${told.status} in place of ${reply.status}`]
  if ('base64' in reply.body) {
    const same = told.body instanceof Uint8Array && Buffer.from(told.body).toString('base64') === reply.body.base64
    return same ? status : [...status, 'other bytes']
  }
  return [...status, ...compare(reply.body.json, told.body, { path: 'reply', variables })]
}

interface Place {
  readonly path: string
  readonly variables: Variables
}

/** What the recorded reply has, the new one has too; more of it is welcome. */
function compare(old: unknown, now: unknown, { path, variables }: Place): readonly string[] {
  if (isTemplate(old)) return compareSigned(old.$dsse, now, { path, variables })
  if (typeof old === 'string') return compareText(old, now, { path, variables })
  if (Array.isArray(old)) {
    if (!Array.isArray(now)) return [`${path} is no list`]
    if (now.length !== old.length) return [`${path} has ${now.length} in place of ${old.length}`]
    return old.flatMap((one, index) => compare(one, now[index], { path: `${path}[${index}]`, variables }))
  }
  if (isRecord(old)) {
    if (!isRecord(now)) return [`${path} is no object`]
    return Object.entries(old).flatMap(([key, value]) => {
      const place = { path: `${path}.${key}`, variables }
      if (varying.has(key)) return typeof now[key] === typeof value ? [] : [`${place.path} is of another type`]
      return compare(value, now[key], place)
    })
  }
  return Object.is(old, now) ? [] : [`${path} is ${JSON.stringify(now)} in place of ${JSON.stringify(old)}`]
}

const isRecord = (it: unknown): it is Readonly<Record<string, unknown>> =>
  typeof it === 'object' && it !== null && !Array.isArray(it)

/** A name that has no value yet gets it here. */
function compareText(old: string, now: unknown, { path, variables }: Place): readonly string[] {
  if (typeof now !== 'string') return [`${path} is no text`]
  const fresh: string[] = []
  const parts = old.split(/\{\{(\w+)\}\}/).map((part, index) => {
    const value = index % 2 === 0 ? part : variables.get(part)
    if (value === undefined) fresh.push(part)
    return value === undefined ? '(.+)' : escapeRegExp(value)
  })
  const found = new RegExp(`^${parts.join('')}$`, 's').exec(now)
  for (const [index, name] of fresh.entries()) if (found) variables.set(name, found[index + 1] ?? '')
  return found ? [] : [`${path} is another text`]
}

const escapeRegExp = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

function compareSigned(
  { type, says }: { readonly type: string; readonly says: unknown },
  now: unknown,
  place: Place,
): readonly string[] {
  if (!isRecord(now) || now.payloadType !== type || typeof now.payload !== 'string')
    return [`${place.path} is no signed object of ${type}`]
  const path = `${place.path}.payload`
  return compare(says, JSON.parse(Buffer.from(now.payload, 'base64').toString()), { ...place, path })
}
