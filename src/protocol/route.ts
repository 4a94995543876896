// All routes together, and how one is found. From this table come the handlers, the client, OpenAPI, the authorisation matrix, the replay test and the manual.
import type { z } from 'zod'
import { adminRoutes } from './admin.ts'
import { assetRoutes } from './asset.ts'
import { consumerRoutes } from './consumer.ts'
import { endedRoutes } from './ended.ts'
import { orchRoutes } from './orch.ts'
import { orderRoutes } from './order.ts'
import { defineRoutes, nothing } from './shape.ts'

const openRoutes = defineRoutes({
  healthz: { method: 'GET', path: '/healthz', caller: 'open', says: 'The process answers.', reply: nothing },
  readyz: {
    method: 'GET',
    path: '/readyz',
    caller: 'open',
    says: 'The store takes writes and there is room.',
    reply: nothing,
  },
  openapi: { method: 'GET', path: '/openapi.json', caller: 'open', says: 'This table as OpenAPI 3.1.', reply: 'json' },
})

export const routes = {
  ...orchRoutes,
  ...consumerRoutes,
  ...endedRoutes,
  ...assetRoutes,
  ...adminRoutes,
  ...orderRoutes,
  ...openRoutes,
}

export type Routes = typeof routes
export type RouteName = keyof Routes
export const routeNames = Object.keys(routes) as readonly RouteName[]

type Parsed<T> = T extends z.ZodType<infer Output> ? Output : undefined
/** What a handler gets for the body of a route. */
export type BodyOf<N extends RouteName> = Routes[N] extends { readonly body: infer B }
  ? B extends 'bytes'
    ? Uint8Array
    : B extends 'stream'
      ? AsyncIterable<Uint8Array>
      : Parsed<B>
  : undefined
export type QueryOf<N extends RouteName> = Routes[N] extends { readonly query: infer Q } ? Parsed<Q> : undefined
export type ParamsOf<N extends RouteName> = Routes[N] extends { readonly params: infer P }
  ? { readonly [K in keyof P]: Parsed<P[K]> }
  : undefined
export type ReplyOf<N extends RouteName> = Routes[N]['reply'] extends z.ZodType<infer Output> ? Output : unknown

type Matched =
  | { readonly name: RouteName; readonly params: Readonly<Record<string, string>> }
  | 'other method'
  | undefined

/** Finds the route of a method and a path (below pond's base URL, no query) with its raw, decoded parameters. */
export function matchRoute(method: string, path: string): Matched {
  return literal.get(`${method} ${path}`) ?? matchPatterns(method, path)
}

function matchPatterns(method: string, path: string): Matched {
  let seen = false
  for (const [name, pattern] of patterns) {
    const found = pattern.exec(path)
    if (!found) continue
    seen = true
    if (routes[name].method !== method) continue
    return { name, params: decodeAll(found.groups ?? {}) }
  }
  return seen ? 'other method' : undefined
}

const patterns: readonly (readonly [RouteName, RegExp])[] = routeNames.map((name) => [
  name,
  new RegExp(
    `^${routes[name].path
      .replace(/\{(\w+)\.\.\.\}/g, '(?<$1>.+)')
      .replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')
      .replace(/\.(?=json)/g, '\\.')}$`,
  ),
])

/** Paths without parameters, which most calls have: to try every pattern took as long as to read a small body. */
const literal: ReadonlyMap<string, Matched> = new Map(
  routeNames.map((name) => {
    const { method, path } = routes[name]
    return [`${method} ${path}`, path.includes('{') ? undefined : matchPatterns(method, path)] as const
  }),
)

function decodeAll(groups: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(groups).map(([key, value]) => [key, decode(value)]))
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
