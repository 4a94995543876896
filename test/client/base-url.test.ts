// Which URLs are taken for a pond, and which would send a token in the clear.
import t from 'tap'
import { parseBaseUrl } from '../../src/client/base-url.ts'

for (const [text, url] of [
  ['https://pond.example', 'https://pond.example'],
  ['https://pond.example/a/b//', 'https://pond.example/a/b'],
  ['http://localhost:7460/', 'http://localhost:7460'],
  ['http://a.localhost', 'http://a.localhost'],
  ['http://127.8.9.1:1', 'http://127.8.9.1:1'],
  ['http://[::1]:1', 'http://[::1]:1'],
] as const) {
  t.same(parseBaseUrl(text), { ok: true, url }, text)
}

for (const [text, why] of [
  ['pond.example', /no http/],
  ['ftp://pond.example', /no http/],
  ['http://pond.example', /in the clear/],
  ['http://127.0.0.1.example', /in the clear/],
  ['http://localhost.example', /in the clear/],
  ['https://me:secret@pond.example', /password/],
  ['https://pond.example?a=1', /query/],
  ['https://pond.example#code', /fragment/],
] as const) {
  t.match(parseBaseUrl(text), { ok: false, why }, text)
}

t.match(parseBaseUrl('http://pond.example', true), { ok: true })
