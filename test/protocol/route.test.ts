// How a route is found, and what no path may do.
import t from 'tap'
import { matchRoute, type RouteName, routeNames, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { ids } from './sample.ts'

const table: Readonly<Record<RouteName, Route>> = routes
const methods = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH'] as const

/** Fills each brace with its own value. */
function fill(path: string, value: (name: string) => string): string {
  return path.replace(/\{(\w+)(?:\.\.\.)?\}/g, (_, name: string) => encodeURIComponent(value(name)))
}

t.test('every route is found under its own path, with its parameters decoded', async (t) => {
  const names = new Map(routeNames.map((name) => [`${table[name].method} ${table[name].path}`, name]))
  t.equal(names.size, routeNames.length, 'no two routes share method and path')
  for (const name of routeNames) {
    const { method, path } = table[name]
    for (const text of ['plain', 'a b', 'ä/ö', '..', '%2F', '?#&', 'x.y']) {
      const found = matchRoute(
        method,
        fill(path, (key) => `${key} ${text}`),
      )
      const params = Object.fromEntries(
        [...path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map(([, key = '']) => [key, `${key} ${text}`]),
      )
      t.strictSame(found, { name, params }, `${method} ${path} with ${text}`)
    }
  }
})

t.test('another method is told from another path', async (t) => {
  for (const name of routeNames) {
    const { path } = table[name]
    for (const method of methods) {
      const found = matchRoute(
        method,
        fill(path, () => 'x'),
      )
      const own = routeNames.find((it) => table[it].path === path && table[it].method === method)
      const answer = typeof found === 'object' ? found.name : found
      t.equal(answer, own ?? 'other method', `${method} ${path}`)
    }
  }
  t.equal(matchRoute('GET', '/v1/nothing'), undefined)
})

t.test('paths that lead nowhere', async (t) => {
  const paths = [
    '',
    '/',
    '//',
    '//v1/jobs',
    '/v1//jobs',
    '/v1/jobs/',
    '/v1/jobs/x/',
    '/v1/jobs//cancel',
    '/orch/jobs//state',
    '/orch/jobs/a/b/state',
    '/v1/jobs?state=queued',
    '/V1/jobs',
    '/v1/jobs\n',
    ' /v1/jobs',
    '/x/v1/jobs',
    '/v1/../v1/jobs',
    '/v1/./jobs',
    '/v1%2Fjobs',
    '/readyzz',
    '/readyz/..',
    'http://pond/v1/jobs',
  ]
  for (const path of paths) {
    for (const method of methods) t.equal(matchRoute(method, path), undefined, `${method} ${JSON.stringify(path)}`)
  }
})

t.test('a hostile parameter never becomes an id', async (t) => {
  const hostile = [
    '.',
    '..',
    '%2e%2e',
    '..%2f..',
    `${ids.job}%2f`,
    `${ids.job}%00`,
    `${ids.job}\n`,
    '%',
    '%zz',
    '%c0%ae',
    '%25',
    '__proto__',
  ]
  for (const text of hostile) {
    const found = matchRoute('GET', `/v1/jobs/${text}`)
    t.ok(typeof found === 'object' && found.name === 'getJob', `${text} is one segment`)
    if (typeof found !== 'object') continue
    t.notOk(routes.getJob.params.id.safeParse(found.params.id).success, `${text} is no id`)
  }
  const stream = matchRoute('GET', `/v1/jobs/${ids.job}/streams/stdout%2F..`)
  t.strictSame(stream, { name: 'readStream', params: { id: ids.job, name: 'stdout/..' } })
  t.notOk(routes.readStream.params.name.safeParse('stdout/..').success)
})
