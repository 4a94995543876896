// Every route has its schemas, and every request is strict to the last object: an unknown field is refused and named.
import t from 'tap'
import { z } from 'zod'
import { type RouteName, routeNames, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import { bodies, queries } from './sample.ts'

const table: Readonly<Record<RouteName, Route>> = routes

t.test('every route is whole', async (t) => {
  const kinds = ['json', 'bytes', 'events', 'text']
  for (const name of routeNames) {
    const route = table[name]
    t.ok(route.reply instanceof z.ZodType || kinds.includes(route.reply), `${name} says what it replies`)
    t.match(route.says, /^[A-Z].*\.$/, `${name} says in a sentence what it does`)
    t.match(route.path, /^\/(orch|v1)\/|^\/(healthz|readyz|openapi\.json)$/, `${name} stands under its side`)
    const braces = [...route.path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map((match) => match[1])
    t.strictSame(Object.keys(route.params ?? {}).sort(), braces.sort(), `${name} has a schema for each parameter`)
    if (route.method === 'GET') t.equal(route.body, undefined, `${name} has no body`)
    if (route.reserved) t.equal(route.body, undefined, `${name} is reserved and parses nothing`)
    if (route.path.startsWith('/v1/admin/')) t.equal(route.caller, 'admin', `${name} is for operators`)
    if (route.path.startsWith('/orch/jobs/')) t.equal(route.caller, 'claim', `${name} needs the claim's token`)
  }
})

t.test('the protocol is one integer', async (t) => {
  t.ok(Number.isInteger(PROTOCOL) && Number.isInteger(OLDEST_PROTOCOL))
  t.ok(OLDEST_PROTOCOL >= 1 && PROTOCOL >= OLDEST_PROTOCOL)
})

t.test('no object of a request is open', async (t) => {
  for (const name of routeNames) {
    for (const [part, schema] of requestSchemas(name)) {
      const open = [...objects(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))]
      const loose = open.filter((node) => 'properties' in node && node.additionalProperties !== false)
      t.strictSame(loose, [], `${name} ${part}`)
    }
  }
})

/** Fields whose keys are the caller's own. */
const records = new Set(['labels', 'env', 'data', 'sandbox', 'streams'])

t.test('a field too many is refused and named, wherever it stands', async (t) => {
  for (const name of routeNames) {
    for (const [part, schema] of requestSchemas(name)) {
      const samples = part === 'body' ? bodies[name] : [queries[name]]
      t.ok(samples?.[0], `${name} has a sample for its ${part}`)
      for (const sample of samples ?? []) {
        t.ok(schema.safeParse(sample).success, `${name} takes its ${part}`)
        for (const path of objectPaths(sample)) {
          const copy = structuredClone(sample)
          Object.assign(at(copy, path), { surprise: 1 })
          const result = schema.safeParse(copy)
          const named = result.success ? [] : unknownFields(result.error.issues)
          t.ok(named.includes('surprise'), `${name} ${part} names ${[...path, 'surprise'].join('.')}`)
        }
      }
    }
  }
})

function requestSchemas(name: RouteName): readonly (readonly ['body' | 'query', z.ZodType])[] {
  const { body, query } = table[name]
  return [
    ...(body && typeof body !== 'string' ? [['body', body] as const] : []),
    ...(query ? [['query', query] as const] : []),
  ]
}

function* objects(node: unknown): Generator<Record<string, unknown>> {
  if (typeof node !== 'object' || node === null) return
  if (!Array.isArray(node)) yield node as Record<string, unknown>
  for (const child of Object.values(node)) yield* objects(child)
}

function* objectPaths(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value) && !records.has(path.at(-1) ?? '')) yield path
  for (const [key, child] of Object.entries(value)) yield* objectPaths(child, [...path, key])
}

function at(value: unknown, path: readonly string[]): object {
  const found = path.reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], value)
  if (typeof found !== 'object' || found === null) throw new Error(`no object at ${path.join('.')}`)
  return found
}

/** Also those that only one side of a union complains about. */
function unknownFields(issues: readonly z.core.$ZodIssue[]): readonly string[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys
    return issue.code === 'invalid_union' ? issue.errors.flatMap(unknownFields) : []
  })
}
