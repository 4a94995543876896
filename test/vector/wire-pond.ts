// A pond of a recorded step: it answers with what was recorded, and is as strict as that step was about what it does not know.
import { z } from 'zod'
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { type ErrorCode, errorTable } from '../../src/protocol/error.ts'
import type { PairBody, PollBody } from '../../src/protocol/orch.ts'
import type { BatchWord } from '../../src/protocol/word.ts'
import { pairingMac, parsePairingCode } from '../../src/seal/pairing.ts'
import { createCallVerifier } from '../../src/seal/request-signature.ts'
import type { Clock } from '../../src/system/clock.ts'
import { errorBody } from '../harness/http-reply.ts'
import { fillAll, Variables } from './wire-variable.ts'
import type { Exchange, RouteSchema, Story, WireVector } from './wire-vector.ts'

export interface RecordedPond {
  /** What a person types to pair with it. */
  readonly code: string
  readonly answer: (request: PondRequest) => Promise<PondReply>
  /** The recorded job is submitted. */
  give(): void
  /** Each refusal: the route, the code, and why. */
  readonly refused: readonly string[]
  readonly words: readonly BatchWord[]
  /** Stored bytes by stream. */
  readonly streams: ReadonlyMap<string, Buffer>
}

interface Asked {
  readonly route: string
  readonly query: URLSearchParams
  readonly body: unknown
  readonly bytes: Uint8Array
}

class Refused extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(why)
    this.code = code
    this.details = details
  }
}

export function createRecordedPond(vector: WireVector, clock: Clock): RecordedPond {
  const { routes, protocol } = vector
  const recorded = readerOf(vector.swarm)
  const printed = vector.swarm.variables.code_1 ?? ''
  const code = parsePairingCode(printed)
  if (!code) throw new Error('a code was recorded')
  const isSigned = signatureJudge(code.pondKeyHash, clock)
  const words: BatchWord[] = []
  const streams = new Map<string, Buffer>()
  const hold = createHold(clock)
  let isThere = false

  async function answerPoll({ wait_ms, workers }: PollBody): Promise<unknown> {
    const mayGive = () => isThere && workers.some(({ free }) => free.slots > 0)
    if (!mayGive()) await hold.wait(wait_ms)
    if (!mayGive()) return recorded('poll', (it) => !hasIntents(it))
    isThere = false
    return recorded('poll', hasIntents)
  }

  function append({ query, bytes }: Asked): unknown {
    const name = query.get('stream') ?? ''
    const stored = streams.get(name) ?? Buffer.alloc(0)
    const at = Number(query.get('offset'))
    if (at > stored.length) throw new Refused('chunk_gap', 'a gap', { committed: stored.length })
    streams.set(name, Buffer.concat([stored.subarray(0, at), bytes]))
    return { ...(recorded('sendChunk') as object), committed: at + bytes.length }
  }

  async function reply(asked: Asked): Promise<unknown> {
    const { route, body } = asked
    if (route === 'poll') return await answerPoll(body as PollBody)
    if (route === 'sendChunk') return append(asked)
    if (route === 'pair') {
      const { mac, ...said } = body as PairBody
      if (code && mac !== pairingMac(code.secret, said)) throw new Refused('unauthenticated', 'the MAC is wrong')
    }
    if (route !== 'sendWords') return recorded(route)
    const { words: said } = body as { readonly words: readonly BatchWord[] }
    words.push(...said)
    const { outcomes } = recorded('sendWords') as { readonly outcomes: readonly unknown[] }
    return { outcomes: said.map(() => outcomes[0]) }
  }

  const refused: string[] = []
  return {
    ...{ code: printed, refused, words, streams },
    give() {
      isThere = true
      hold.release()
    },
    async answer(request) {
      const [route, schema] = routeOf(routes, request) ?? ['none', undefined]
      try {
        if (!schema) throw new Refused('not_found', request.path)
        if (!isSigned(request, route)) throw new Refused('unauthenticated', 'the signature is wrong')
        const asked = parse({ route, schema, protocol }, request)
        const told = await reply(asked)
        return told instanceof Uint8Array ? bytesReply(told) : jsonReply(200, told)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        refused.push(`${route}: ${error.code}: ${error.message}`)
        return jsonReply(errorTable[error.code].status, errorBody(error.code, error.message, error.details))
      }
    },
  }
}

const hasIntents = ({ reply }: Exchange) => JSON.stringify(reply.body).includes('"claim_token"')

/** What was first told on a route, with the values of then. */
function readerOf({ exchanges, variables }: Story) {
  const values = new Variables(variables)
  return (route: string, fits: (it: Exchange) => boolean = () => true): unknown => {
    const found = exchanges.find((it) => it.route === route && it.reply.status < 300 && fits(it))
    if (!found) throw new Error(`nothing was recorded of ${route}`)
    const { body } = found.reply
    return 'base64' in body ? Buffer.from(body.base64, 'base64') : fillAll(body.json, values, {})
  }
}

const jsonReply = (status: number, value: unknown): PondReply => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
})

const bytesReply = (body: Uint8Array): PondReply => ({
  status: 200,
  headers: { 'content-type': 'application/octet-stream' },
  body,
})

function routeOf(routes: WireVector['routes'], { method, path }: PondRequest) {
  return Object.entries(routes).find(
    ([, row]) => row.method === method && new RegExp(`^${row.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
  )
}

interface Form {
  readonly route: string
  readonly schema: RouteSchema
  readonly protocol: number
}

/** Fields first, as pond does; then the step. */
function parse({ route, schema, protocol }: Form, { body = new Uint8Array(), query }: PondRequest): Asked {
  const value: unknown = schema.body ? JSON.parse(Buffer.from(body).toString()) : undefined
  if (schema.body) check(schema.body, value)
  if (schema.query) check(schema.query, query)
  const spoken = (value as { readonly protocol?: number } | undefined)?.protocol ?? protocol
  if (spoken > protocol) throw new Refused('upgrade_required', `${spoken}`, { protocol, oldest: protocol })
  return { route, query: new URLSearchParams(query as Record<string, string>), body: value, bytes: body }
}

function check(schema: Readonly<Record<string, unknown>>, value: unknown): void {
  const { error } = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]).safeParse(value)
  const [issue] = error?.issues ?? []
  if (!issue) return
  const code = issue.code === 'unrecognized_keys' ? 'unknown_field' : 'invalid_field'
  throw new Refused(code, `${issue.path.join('.')} ${issue.message}`)
}

/** By the key that paired; to pair, by the one that is brought. */
function signatureJudge(pondKeyHash: Uint8Array, clock: Clock) {
  let key = ''
  return (request: PondRequest, route: string): boolean => {
    if (route === 'pair') key = (JSON.parse(Buffer.from(request.body ?? []).toString()) as PairBody).binding_key
    return createCallVerifier(key, pondKeyHash)(request, clock.now())
  }
}

/** A poll waits until its time is over, or a newer one comes. */
function createHold(clock: Clock) {
  let release = () => {}
  return {
    release: () => release(),
    wait(ms: number): Promise<void> {
      release()
      return new Promise((resolve) => {
        const cancel = clock.after(ms, resolve)
        release = () => {
          cancel()
          resolve()
        }
      })
    },
  }
}
