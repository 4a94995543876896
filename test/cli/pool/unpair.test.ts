// Leaving for good: a machine that was paired for one run forgets its binding and its keys, unless pond is still to hear of a claim.
import t from 'tap'
import { createOutput } from '../../../src/cli/output.ts'
import { leaveForGood } from '../../../src/cli/pool/unpair.ts'
import type { Client } from '../../../src/client/contract.ts'
import { createFakeIo } from '../../harness/fake-io.ts'
import { fakeBinding as binding, createSwarmRig } from '../../harness/swarm-rig.ts'

async function leave(end: { readonly owed?: number }) {
  const io = createFakeIo()
  const { home } = await createSwarmRig()
  const called: string[] = []
  const client = {
    call: async (name: string) => {
      called.push(name)
      return { ok: true, reply: {} }
    },
  } as unknown as Client
  await leaveForGood({ client, home, binding, end, out: createOutput(io, { program: 'swarm', json: false }) })
  return { called, said: io.printed().err, left: [await home.readBinding(), await home.readKeys()] }
}

t.test('nothing is owed: pond is told, and nothing is left', async (t) => {
  t.match(await leave({}), { called: ['unpair'], said: /is forgotten/, left: [undefined, undefined] })
})

t.test('a claim is owed: it stays paired, with its keys, and says so', async (t) => {
  const { called, said, left } = await leave({ owed: 1 })
  t.strictSame(called, [])
  t.match(said, /stays paired: pond is still to hear of claims \(1\), by the next/)
  t.ok(left.every((it) => it !== undefined))
})
