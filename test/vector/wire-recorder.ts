// Listens at the door of a pond and writes down every exchange, with names in place of what is variable. It changes nothing of them.
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { isCallKey } from '../../server/service/call-key.ts'
import { matchRoute } from '../../src/protocol/route.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { keyIdOf } from '../../src/seal/request-signature.ts'
import type { PondRig } from '../harness/pond.ts'
import { pairOf } from '../harness/signing-key.ts'
import { fillAll, macOf, nameAll, Variables } from './wire-variable.ts'
import type { Exchange, Story, WireBody } from './wire-vector.ts'

/** What a reader of the protocol page needs to see; signatures are made anew, and lengths, dates and agents say nothing. */
const kept = ['authorization', 'x-claim-token', 'content-type', 'content-encoding', 'idempotency-key']

export interface Recorder {
  /** Key pairs that sign something here, besides those of the harness. */
  knows(...pairs: readonly KeyPair[]): void
  /** Every call has its reply. */
  finish(title: string): Story
}

/** From now on, until pond is restarted. */
export function recordWire(rig: PondRig): Recorder {
  const variables = new Variables({ admin: rig.adminToken })
  const keys: Record<string, string> = {}
  const exchanges: (Omit<Exchange, 'reply'> & { reply?: Exchange['reply'] })[] = []
  const startedAt = rig.clock.now()
  let bindingKey: string | undefined
  const { pond } = rig
  const answer = pond.answer.bind(pond)
  const now = () => rig.clock.now() - startedAt
  const learnKey = (publicKey: string) => {
    const pair = pairOf(publicKey)
    if (pair) keys[publicKey] = pair.privateKey
  }

  Object.assign(pond, {
    async answer(request: PondRequest): Promise<PondReply> {
      const entry: (typeof exchanges)[number] = { at: now(), ...requestOf(request) }
      exchanges.push(entry)
      const reply = await answer(request)
      const bytes = await collect(reply.body)
      const body = bodyOf(bytes, reply.headers['content-type'], (value) => nameAll(value, variables, true))
      entry.reply = { at: now(), before: exchanges.length, status: reply.status, body }
      return { ...reply, body: bytes }
    },
  })

  function requestOf(request: PondRequest): Omit<Exchange, 'at' | 'reply'> {
    const found = matchRoute(request.method, request.path)
    if (typeof found !== 'object') throw new Error(`${request.path} is no route`)
    const named = keyIdOf(request)
    // A call key is another in each life: what was said under one stands as said with the key under which it was agreed.
    const signer = named !== undefined && isCallKey(named) ? bindingKey : named
    if (signer !== undefined) learnKey(signer)
    bindingKey = signer ?? bindingKey
    const headers = Object.entries(request.headers).filter(([name]) => kept.includes(name))
    return {
      route: found.name,
      method: request.method,
      path: variables.name(request.path, false),
      query: variables.name(request.search, false),
      headers: Object.fromEntries(headers.map(([name, value]) => [name, variables.name(value ?? '', false)])),
      ...(signer !== undefined && { signer }),
      ...(request.body && { body: requestBody(found.name, Buffer.from(request.body), { variables, keys, learnKey }) }),
    }
  }

  return {
    knows(...pairs) {
      for (const { publicKey, privateKey } of pairs) keys[publicKey] = privateKey
    },
    finish: (title) => ({
      title,
      variables: variables.all(),
      keys,
      exchanges: exchanges.map(({ reply, ...entry }) => {
        if (!reply) throw new Error(`${entry.route} was never answered`)
        return { ...entry, reply }
      }),
    }),
  }
}

interface Known {
  readonly variables: Variables
  readonly keys: Readonly<Record<string, string>>
  readonly learnKey: (publicKey: string) => void
}

function requestBody(route: string, bytes: Buffer, { variables, keys, learnKey }: Known): WireBody {
  return bodyOf(bytes, isJson(bytes) ? 'application/json' : undefined, (value) => {
    for (const [, keyid = ''] of bytes.toString().matchAll(/"keyid":"([^"]+)"/g)) learnKey(keyid)
    const named = nameAll(value, variables, false)
    const mac = macOf(route, value, variables)
    const proved = mac !== undefined && isRecord(value) && value.mac === mac
    const template = proved ? { ...(named as object), mac: '{{mac}}' } : named
    const again = fillAll(template, new Variables({ ...variables.all(), mac: mac ?? '' }), keys)
    if (JSON.stringify(again) !== bytes.toString()) throw new Error(`${route}: the bytes would not be the same again`)
    return template
  })
}

const isRecord = (it: unknown): it is Readonly<Record<string, unknown>> => typeof it === 'object' && it !== null

function bodyOf(bytes: Buffer, type: string | undefined, name: (value: unknown) => unknown): WireBody {
  const isText = type?.startsWith('application/json') && bytes.length > 0
  return isText ? { json: name(JSON.parse(bytes.toString())) } : { base64: bytes.toString('base64') }
}

function isJson(bytes: Buffer): boolean {
  try {
    return isRecord(JSON.parse(bytes.toString()))
  } catch {
    return false
  }
}

async function collect(body: PondReply['body']): Promise<Buffer> {
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body as string)
  const parts: Buffer[] = []
  for await (const part of body) parts.push(Buffer.from(part as string))
  return Buffer.concat(parts)
}
