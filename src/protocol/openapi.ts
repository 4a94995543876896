// The OpenAPI 3.1 document, made from the route table; nothing in it is written by hand twice.
import { z } from 'zod'
import { errorTable } from './error.ts'
import { routes } from './route.ts'
import type { Caller, ReplyKind, Route } from './shape.ts'
import { PROTOCOL } from './version.ts'

type Json = Readonly<Record<string, unknown>>

export interface OpenApi {
  readonly openapi: '3.1.0'
  readonly info: Json
  readonly servers: readonly Json[]
  /** Path, then method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<'schemas' | 'responses' | 'securitySchemes', Readonly<Record<string, Json>>>>
}

export interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description?: string
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly Json[]
  readonly requestBody?: Json
  readonly responses: Readonly<Record<string, Json>>
}

export function openApi(): OpenApi {
  return {
    openapi: '3.1.0',
    info: { title: 'pond', version: `${PROTOCOL}`, description: 'Requests are strict; replies may gain fields.' },
    servers: [{ url: '.' }],
    paths: pathsOf(routes),
    components: { schemas: { Error: errorSchema }, responses: { Refusal: refusal }, securitySchemes },
  }
}

const errorSchema = {
  type: 'object',
  required: ['error', 'request_id'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'details', 'help'],
      properties: {
        code: { type: 'string', enum: Object.keys(errorTable) },
        message: { type: 'string' },
        details: { type: 'object' },
        help: { type: 'string' },
      },
    },
    request_id: { type: 'string' },
  },
} as const

const refusal = {
  description: 'A refusal; error.code says which.',
  headers: {
    'X-Request-Id': { schema: { type: 'string' } },
    'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } },
  },
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
} as const

const bearer = (description: string) => ({ type: 'http', scheme: 'bearer', description })
const securitySchemes = {
  admin: bearer('An admin token.'),
  key: bearer('A project key; the list names the scope it needs.'),
  binding: bearer('The token of a binding; each call is also signed with its key, as the page of the protocol says.'),
  claim: { type: 'apiKey', in: 'header', name: 'X-Claim-Token', description: "The claim's own token." },
} as const

const securityOf: Readonly<Record<Caller, Operation['security']>> = {
  open: [],
  pair: [],
  binding: [{ binding: [] }],
  claim: [{ binding: [], claim: [] }],
  renewal: [{ binding: [] }],
  read: [{ key: ['read'] }, { admin: [] }],
  submit: [{ key: ['submit'] }, { admin: [] }],
  credentials: [{ key: ['credentials'] }, { admin: [] }],
  admin: [{ admin: [] }],
}

const contentOf: Readonly<Record<ReplyKind, Json>> = {
  json: { 'application/json': { schema: {} } },
  bytes: { 'application/octet-stream': {} },
  events: { 'text/event-stream': {} },
  text: { 'text/plain': {} },
}

function pathsOf(table: Readonly<Record<string, Route>>): OpenApi['paths'] {
  const paths: Record<string, Record<string, Operation>> = {}
  for (const [name, route] of Object.entries(table)) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(name, route) }
  }
  return paths
}

function operationOf(name: string, route: Route): Operation {
  const parameters = [...pathParameters(route), ...queryParameters(route)]
  const refusals = {
    '4XX': { $ref: '#/components/responses/Refusal' },
    '5XX': { $ref: '#/components/responses/Refusal' },
  }
  return {
    operationId: name,
    tags: [
      route.path
        .split('/')
        .slice(1, route.path.startsWith('/v1/admin/') ? 3 : 2)
        .join('/'),
    ],
    summary: route.says,
    ...(route.reserved ? { description: 'Reserved: answers 422 unsupported.' } : {}),
    security: securityOf[route.caller],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body ? { requestBody: { required: true, content: bodyContent(route.body) } } : {}),
    responses: route.reserved
      ? refusals
      : { [route.status ?? 200]: { description: 'Done.', content: replyContent(route.reply) }, ...refusals },
  }
}

function pathParameters(route: Route): readonly Json[] {
  return [...route.path.matchAll(/\{(\w+)\}/g)].flatMap(([, name]) => {
    if (name === undefined) return []
    const schema = route.params?.[name]
    return { name, in: 'path', required: true, schema: schema ? schemaOf(schema, 'input') : { type: 'string' } }
  })
}

function queryParameters(route: Route): readonly Json[] {
  if (!route.query) return []
  const { properties, required = [] } = z.toJSONSchema(route.query, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

function bodyContent(body: z.ZodType | 'bytes' | 'stream'): Json {
  return typeof body === 'string' ? contentOf.bytes : { 'application/json': { schema: schemaOf(body, 'input') } }
}

function replyContent(reply: Route['reply']): Json {
  return typeof reply === 'string' ? contentOf[reply] : { 'application/json': { schema: schemaOf(reply, 'output') } }
}

/** A reply may gain fields, so its schema stays open; an integer without limits of ours carries none. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override({ jsonSchema }) {
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
    },
  })
  return rest
}
