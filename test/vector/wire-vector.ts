// The form of a recorded wire: every exchange under /orch of one step of the protocol, with the schemas that its requests and replies had.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { orchRoutes } from '../../src/protocol/orch.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { root } from '../tidy/source.ts'

/** JSON with `{{name}}` for each variable and `$dsse` for each signed object, or bytes in base64. */
const body = z.union([z.strictObject({ json: z.unknown() }), z.strictObject({ base64: z.string() })])
export type WireBody = z.infer<typeof body>

export const exchange = z.strictObject({
  /** Virtual milliseconds since the story began. */
  at: z.int(),
  /** Of the table of routes; `path` and `query` are as they were sent. */
  route: z.string(),
  method: z.string(),
  path: z.string(),
  query: z.string(),
  /** Without the signature, which is made when it is played. */
  headers: z.record(z.string(), z.string()),
  /** The binding key that signed the call. */
  signer: z.string().optional(),
  body: body.optional(),
  reply: z.strictObject({
    at: z.int(),
    /** It came before the exchange of this number was sent. */
    before: z.int(),
    status: z.int(),
    body,
  }),
})
export type Exchange = z.infer<typeof exchange>

export const story = z.strictObject({
  title: z.string(),
  /** What each variable was when it was recorded. */
  variables: z.record(z.string(), z.string()),
  /** Private halves of the Ed25519 keys that sign here. No secret: they were made for the recording. */
  keys: z.record(z.string(), z.string()),
  exchanges: z.array(exchange),
})
export type Story = z.infer<typeof story>

const schema = z.record(z.string(), z.unknown())
const routeSchema = z.strictObject({
  method: z.string(),
  path: z.string(),
  body: schema.optional(),
  query: schema.optional(),
  reply: schema.optional(),
})
export type RouteSchema = z.infer<typeof routeSchema>

export const wireVector = z.strictObject({
  about: z.string(),
  protocol: z.int(),
  /** Pond's key file, so that what was sealed to it opens when it is played. */
  pond_key_file: z.unknown(),
  /** The keys of the swarm that was recorded, as its home holds them. */
  swarm_keys: z.unknown(),
  routes: z.record(z.string(), routeSchema),
  byHand: story,
  swarm: story,
})
export type WireVector = z.infer<typeof wireVector>

export const vectorPath = (protocol: number) => join('test', 'vector', 'wire', `protocol-${protocol}.json`)

export function readVector(protocol: number): WireVector | undefined {
  const path = join(root, vectorPath(protocol))
  return existsSync(path) ? wireVector.parse(JSON.parse(readFileSync(path, 'utf8'))) : undefined
}

/** The wire of this code as JSON schema. */
export function schemasOfNow(): WireVector['routes'] {
  const print = (it: Route['body'] | Route['reply'], io: 'input' | 'output') =>
    it === undefined || typeof it === 'string'
      ? undefined
      : (z.toJSONSchema(it, { io, unrepresentable: 'any' }) as Record<string, unknown>)
  const rows = Object.entries<Route>(orchRoutes).map(([name, { method, path, body, query, reply }]) => {
    const schemas = { body: print(body, 'input'), query: print(query, 'input'), reply: print(reply, 'output') }
    return [name, routeSchema.parse({ method, path, ...schemas })] as const
  })
  // Once over JSON, so that what is absent is absent on both sides.
  return JSON.parse(JSON.stringify(Object.fromEntries(rows))) as WireVector['routes']
}
