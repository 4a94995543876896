// From bytes and strings to what a route's schemas promise. The first thing that is wrong is refused, by the name of its field.
import { z } from 'zod'
import { submitBatch, submitSigned } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import { describeFault, type Fault, judge } from '../../src/protocol/fault.ts'
import { type JobSpec, jobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { type RouteName, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import type { PondRequest } from './message.ts'

export interface Parsed {
  readonly params: Readonly<Record<string, unknown>>
  readonly query: unknown
  /** As the schema gives it; bytes, or an iterable of them, for a raw body. */
  readonly body: unknown
  /** The JSON as it came, before the schema. */
  readonly raw: unknown
}

export function parseRequest(
  name: RouteName,
  request: Pick<PondRequest, 'query' | 'headers' | 'body' | 'stream'>,
  rawParams: Readonly<Record<string, string>>,
): Parsed {
  const route: Route = routes[name]
  refuseEncoding(request.headers['content-encoding'])
  const params = Object.fromEntries(
    Object.entries(route.params ?? {}).map(([key, schema]) => [key, parseParam(schema, key, rawParams[key])]),
  )
  const query = parse(route.query ?? none, request.query, '')
  if (route.body === 'bytes') return { params, query, body: request.body ?? new Uint8Array(), raw: undefined }
  if (route.body === 'stream') return { params, query, body: request.stream ?? once(request.body), raw: undefined }
  if (!route.body) return { params, query, body: undefined, raw: undefined }
  const raw = readJson(request.body)
  return { params, query, body: parse(schemaFor(name, route.body, raw), raw, ''), raw }
}

const none = z.strictObject({})

async function* once(body: Uint8Array | undefined): AsyncGenerator<Uint8Array> {
  if (body) yield body
}

export function idempotencyKeyOf(request: Pick<PondRequest, 'headers'>): string | undefined {
  const value = request.headers['idempotency-key']
  if (value === undefined) return undefined
  if (/^[\x21-\x7e]{1,255}$/.test(value)) return value
  throw new Refusal('invalid_field', 'Idempotency-Key must be 1 to 255 printable characters', {
    field: 'idempotency-key',
  })
}

/** A job whose exact bytes stand inside another body. */
export function parseJob(bytes: Uint8Array, field: string): JobSpec {
  return parse(jobSpec, readJson(bytes), field) as JobSpec
}

/** A union would answer with the faults of both branches; the caller's own words say which branch is meant. */
function schemaFor(name: RouteName, schema: z.ZodType, raw: unknown): z.ZodType {
  const keys = typeof raw === 'object' && raw !== null ? Object.keys(raw) : []
  if (name === 'submitJob') {
    if (keys.includes('jobs')) return submitBatch
    return keys.includes('signed') ? submitSigned : jobSpec
  }
  if (!(schema instanceof z.ZodUnion)) return schema
  const meant = schema.options.find((it) => it instanceof z.ZodObject && keys.some((key) => key in it.shape))
  return (meant as z.ZodType | undefined) ?? schema
}

/** Stored as they came, encoded bytes would be taken for the output itself. */
function refuseEncoding(encoding: string | undefined): void {
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return
  throw new Refusal('unsupported', `bodies in ${encoding} are not decoded here`, { field: 'content-encoding' })
}

function readJson(body: Uint8Array | undefined): unknown {
  const bytes = body ?? new Uint8Array()
  if (bytes.length > limit.bodyBytes) {
    const details = { most: limit.bodyBytes, got: bytes.length }
    throw new Refusal('body_too_large', `a JSON body must not be longer than ${limit.bodyBytes} bytes`, details)
  }
  if (bytes.length === 0) return {}
  const { text, value } = decode(bytes)
  if (mayBeOdd.test(text)) refuseOdd(value)
  return value
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: Uint8Array): { text: string; value: unknown } {
  try {
    const text = utf8.decode(bytes)
    return { text, value: JSON.parse(text) }
  } catch (error) {
    throw new Refusal('malformed', `the body is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** A text without these holds nothing odd, and is spared the walk. */
const mayBeOdd = /__proto__|\\u/
const halfPair = /\p{Surrogate}/u

/**
 * JSON can say two things that would be dropped or changed on the way to a worker: a key `__proto__`, which schemas skip,
 * and half of a surrogate pair, which has no UTF-8 and so no exact bytes. The walk keeps its own stack, for a body may be nested deeply.
 */
function refuseOdd(body: unknown): void {
  const open: { readonly value: unknown; readonly field: string }[] = [{ value: body, field: '' }]
  for (let it = open.pop(); it; it = open.pop()) {
    const { value, field } = it
    if (typeof value === 'string' && halfPair.test(value)) {
      throw new Refusal('invalid_field', `${field}: must not hold half of a surrogate pair`, { field })
    }
    if (typeof value !== 'object' || value === null) continue
    for (const [key, inner] of Object.entries(value)) {
      const path = field === '' ? key : `${field}.${key}`
      if (key === '__proto__' || halfPair.test(key)) {
        throw new Refusal('unknown_field', `${path} is not a field here`, { field: path })
      }
      open.push({ value: inner, field: path })
    }
  }
}

/** An id that cannot be one names nothing, so it is not found rather than malformed. */
function parseParam(schema: z.ZodType, key: string, value: string | undefined): unknown {
  const judged = judge(schema, value)
  if (judged.ok) return judged.value
  throw new Refusal('not_found', `${key} ${JSON.stringify(value)} ${judged.faults[0].says}`, { field: key })
}

function parse(schema: z.ZodType, value: unknown, prefix: string): unknown {
  const judged = judge(schema, value)
  if (judged.ok) return judged.value
  const [fault] = judged.faults
  throw refusalOf({ ...fault, path: [...(prefix ? [prefix] : []), ...fault.path] })
}

function refusalOf(fault: Fault): Refusal {
  const { path, isUnknown } = fault
  const field = path.join('.') || 'body'
  if (isUnknown) return new Refusal('unknown_field', describeFault(fault), { field })
  const index = path[0] === 'jobs' && path[1] !== undefined ? { index: Number(path[1]) } : {}
  return new Refusal('invalid_field', describeFault({ ...fault, path: [field] }), { field, ...index })
}
