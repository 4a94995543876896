// The OpenAPI document holds every route and points nowhere.
import t from 'tap'
import { errorTable } from '../../src/protocol/error.ts'
import { openApi } from '../../src/protocol/openapi.ts'
import { type RouteName, routeNames, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'

const table: Readonly<Record<RouteName, Route>> = routes
const document = openApi()

t.test('every route is there, once, with what it takes and gives', async (t) => {
  const found = Object.entries(document.paths).flatMap(([path, row]) =>
    Object.entries(row).map(([method, operation]) => ({ path, method, operation })),
  )
  t.strictSame(found.map(({ operation }) => operation.operationId).sort(), [...routeNames].sort())
  for (const { path, method, operation } of found) {
    const name = operation.operationId as RouteName
    const route = table[name]
    t.equal(`${method.toUpperCase()} ${path}`, `${route.method} ${route.path}`, name)
    t.equal('requestBody' in operation, route.body !== undefined, `${name}: a body if it takes one`)
    t.equal(`${route.status ?? 200}` in operation.responses, !route.reserved, `${name}: a reply if it is served`)
    t.ok('4XX' in operation.responses && '5XX' in operation.responses, `${name}: refusals`)
    t.equal(operation.security.length === 0, route.caller === 'open' || route.caller === 'pair', `${name}: its caller`)
    const inPath = (operation.parameters ?? []).filter((it) => it.in === 'path').map((it) => it.name)
    t.strictSame(
      inPath,
      [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]),
      `${name}: its parameters`,
    )
  }
})

t.test('every reference resolves', async (t) => {
  const references = [...nodes(document)].flatMap((node) => (typeof node.$ref === 'string' ? [node.$ref] : []))
  t.ok(references.length > 0)
  for (const reference of new Set(references)) t.type(resolve(reference), 'object', reference)
  const schemes = Object.keys(document.components.securitySchemes)
  for (const operation of Object.values(document.paths).flatMap((row) => Object.values(row))) {
    const used = operation.security.flatMap((one) => Object.keys(one))
    t.strictSame(
      used.filter((scheme) => !schemes.includes(scheme)),
      [],
      operation.operationId,
    )
  }
})

t.test('a request is closed and a reply is open', async (t) => {
  const poll = document.paths['/orch/poll']?.post
  t.match(poll?.requestBody, { content: { 'application/json': { schema: { additionalProperties: false } } } })
  const open = [...nodes(poll?.responses['200'])].filter((node) => node.additionalProperties === false)
  t.strictSame(open, [])
})

t.test('it knows every error and the forms of ids, and it is JSON', async (t) => {
  t.match(document.components.schemas.Error, {
    properties: { error: { properties: { code: { enum: Object.keys(errorTable) } } } },
  })
  const [id] = document.paths['/v1/jobs/{id}']?.get?.parameters ?? []
  t.match(id, { name: 'id', schema: { type: 'string', pattern: /^\^job_/ } })
  t.match(document.paths['/orch/jobs/{id}/chunk']?.post?.requestBody, { content: { 'application/octet-stream': {} } })
  t.strictSame(JSON.parse(JSON.stringify(document)), document)
})

function* nodes(node: unknown): Generator<Readonly<Record<string, unknown>>> {
  if (typeof node !== 'object' || node === null) return
  if (!Array.isArray(node)) yield node as Record<string, unknown>
  for (const child of Object.values(node)) yield* nodes(child)
}

function resolve(reference: string): unknown {
  const [hash, ...path] = reference.split('/')
  if (hash !== '#') return undefined
  return path.reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document)
}
