// Where a server is reached from its own host, by what it listens on.
import t from 'tap'
import { urlOf } from '../../../server/http/url.ts'

t.test('the host that was asked for, a port that was given, and the loopback where it listens on all', async (t) => {
  const address = { address: '', family: 'IPv4', port: 7460 }
  t.equal(urlOf(address, { host: 'pond.example' }), 'http://pond.example:7460')
  t.equal(urlOf(address, { host: '0.0.0.0', tls: {} }), 'https://127.0.0.1:7460')
  t.equal(urlOf(address, { host: '::' }), 'http://127.0.0.1:7460')
  t.equal(urlOf(address, { host: '::1' }), 'http://[::1]:7460')
  t.throws(() => urlOf(null, { host: '::1' }), /has a port/)
})
