// Each fault of the proxy, as a client meets it: chaos that breaks nothing would show nothing.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createNetwork } from '../../src/client/network.ts'
import { systemClock } from '../../src/system/clock.ts'
import { type FaultProxyOptions, openFaultProxy, type ProxyFault } from './fault-proxy.ts'
import { createSeededRandom } from './seeded-random.ts'

/** Longer than a piece of TCP, so that a reply has a middle. */
const body = 'x'.repeat(100_000)

async function openRig(t: Test, options: Partial<FaultProxyOptions> & Pick<FaultProxyOptions, 'shares'>) {
  let asked = 0
  const server = createServer((request, reply) => {
    request.resume().once('end', () => {
      asked++
      reply.end(body)
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = await openFaultProxy({ origin, random: createSeededRandom(1), behindBytes: 1, ...options })
  const network = createNetwork({ clock: systemClock })
  t.teardown(async () => {
    await network.close()
    await proxy.close()
    server.closeAllConnections()
    server.close()
  })
  const call = async (deadlineMs = 10_000) => {
    try {
      const reply = await network.request({ method: 'GET', url: proxy.url, headers: {}, deadlineMs })
      const pieces: Uint8Array[] = []
      for await (const piece of reply.body) pieces.push(piece)
      return { status: reply.status, text: Buffer.concat(pieces).toString() }
    } catch (error) {
      return { failed: (error as NodeJS.ErrnoException).code }
    }
  }
  return { proxy, call, asked: () => asked }
}

t.test('without a fault every byte passes', async (t) => {
  const { call } = await openRig(t, { shares: {} })
  t.strictSame(await call(), { status: 200, text: body })
})

const felt: readonly [ProxyFault, object, number][] = [
  ['reset', { failed: /ECONNRESET|UND_ERR_SOCKET/ }, 0],
  ['stall', { failed: 'DEADLINE' }, 0],
  ['cut', { failed: /UND_ERR_SOCKET|ECONNRESET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH/ }, 1],
  ['delay', { status: 200, text: body }, 1],
  ['swallow', { failed: /ECONNRESET|UND_ERR_SOCKET/ }, 1],
  ['bad_gateway', { status: 502, text: /Bad Gateway/ }, 0],
]

for (const [fault, seen, asked] of felt) {
  t.test(fault, async (t) => {
    const rig = await openRig(t, { shares: { [fault]: 1 } })
    t.match(await rig.call(fault === 'stall' ? 300 : 10_000), seen)
    t.equal(rig.asked(), asked, 'what reached the other side')
    t.ok(rig.proxy.fired[fault] > 0, 'it fired')
    rig.proxy.calm()
    t.strictSame(await rig.call(), { status: 200, text: body }, 'calm again')
  })
}

t.test('a black hole swallows what is new and old, and heals', async (t) => {
  const { call, proxy } = await openRig(t, { shares: {} })
  t.match(await call(), { status: 200 }, 'a connection is there')
  proxy.blackhole()
  t.strictSame(await call(300), { failed: 'DEADLINE' }, 'the old one')
  t.strictSame(await call(300), { failed: 'DEADLINE' }, 'a new one')
  proxy.heal()
  t.match(await call(), { status: 200 })
})
