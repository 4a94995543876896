// Machines that came for one run: their bindings remove themselves, and are in no list afterwards.
import t from 'tap'
import { limit, retryWait } from '../../../src/protocol/limit.ts'
import { type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const GRACE_MS = limit.leaseMs + retryWait.mostMs + limit.pollHoldMs + limit.pollGraceMs
const HOUR_MS = 3_600_000

const listed = async (rig: PondRig) => {
  const [bindings, mine, all] = [
    (await rig.call('listBindings')).reply.items.map(({ name }) => name),
    (await rig.call('listWorkers')).reply.items.map(({ name }) => name),
    (await rig.call('listAllWorkers')).reply.items.map(({ name }) => name),
  ]
  return { bindings, mine, all }
}
const only = (...names: readonly string[]) => ({ bindings: names, mine: names, all: names })

/** Lets time go by while these machines poll. */
async function pass(rig: PondRig, ms: number, machines: readonly Machine[]) {
  const stepMs = ms < HOUR_MS / 2 ? 5000 : 50_000
  for (let left = ms; left > 0; left -= stepMs) {
    for (const machine of machines) void machine.poll({ slots: 0, wait_ms: stepMs - 1000 })
    await rig.clock.advance(Math.min(left, stepMs))
  }
}

async function bindings(rig: PondRig) {
  const server = await pairMachine(rig, { letter: 's', name: 'server' })
  const guest = await pairMachine(rig, { letter: 'g', name: 'guest', ephemeral: true })
  return { server, guest }
}

t.test('pairing tells the machine that it is ephemeral, and the binding shows it', async (t) => {
  const rig = await createPondRig(t)
  const { guest, server } = await bindings(rig)
  const shown = async ({ bindingId }: Machine) => (await rig.call('getBinding', { params: { id: bindingId } })).reply
  t.match(await shown(guest), { ephemeral: true, state: 'active' })
  t.match(await shown(server), { ephemeral: false })
})

t.test('one that unpairs is gone from every list, and stays so; its old claims keep its name', async (t) => {
  const rig = await createPondRig(t)
  const { guest } = await bindings(rig)
  const { id } = await submit(rig)
  const intent = await guest.start()
  await guest.say(intent, { state: 'final', cause: 'exit', rc: 0 })
  t.strictSame(await listed(rig), only('server', 'guest'))
  await rig.call('unpair', { token: guest.token, body: {} })
  t.strictSame(await listed(rig), only('server'))
  await rig.restart()
  t.strictSame(await listed(rig), only('server'))
  t.match((await rig.call('listAttempts', { params: { id } })).reply.items, [{ worker_name: 'guest' }])
  t.match((await rig.call('getBinding', { params: { id: guest.bindingId } })).reply, { state: 'revoked' })
  const { items } = (await rig.call('listAudit')).reply
  t.match(
    items.find(({ action }) => action === 'binding.revoke'),
    { by: `binding:${guest.bindingId}`, target: guest.bindingId },
  )
})

t.test('one that comes where none was for long is removed as soon as any other', async (t) => {
  const rig = await createPondRig(t)
  const server = await pairMachine(rig, { letter: 's', name: 'server' })
  await pass(rig, 612_000, [server])
  const guest = await pairMachine(rig, { letter: 'g', name: 'guest', ephemeral: true })
  await pass(rig, 20_000, [server, guest])
  await pass(rig, GRACE_MS, [server])
  t.strictSame(await listed(rig), only('server', 'guest'))
  await pass(rig, 20_000, [server])
  t.strictSame(await listed(rig), only('server'))
})

t.test(
  'one that left without a word is removed after a lease and the way back to pond, not before; others never',
  async (t) => {
    const rig = await createPondRig(t)
    const { server, guest } = await bindings(rig)
    const lasting = await pairMachine(rig, { letter: 'l', name: 'lasting' })
    await pass(rig, 20_000, [server, guest, lasting])
    await pass(rig, GRACE_MS, [server])
    t.strictSame(await listed(rig), only('server', 'guest', 'lasting'))
    await pass(rig, 20_000, [server])
    t.strictSame(await listed(rig), only('server', 'lasting'))
    t.equal((await guest.poll()).code, 'unauthenticated')
    const { items } = (await rig.call('listAudit')).reply
    t.match(
      items.find(({ action }) => action === 'binding.revoke'),
      { by: 'pond', target: guest.bindingId, note: /gone without a word/ },
    )
  },
)

t.test('never while it holds a claim, nor while it polls', async (t) => {
  const rig = await createPondRig(t)
  const { server, guest } = await bindings(rig)
  await submit(rig, { on_lost: 'hold', hold_ms: 10 * GRACE_MS })
  const intent = await guest.start()
  await pass(rig, 3 * GRACE_MS, [server])
  t.strictSame(await listed(rig), only('server', 'guest'), 'held')
  await guest.say(intent, { state: 'final', cause: 'exit', rc: 0 })
  await pass(rig, 2 * GRACE_MS, [server, guest])
  t.strictSame(await listed(rig), only('server', 'guest'), 'idle, and there')
})

t.test('one that was never there has an hour to come, from its pairing and from a start of pond', async (t) => {
  const rig = await createPondRig(t)
  const { server } = await bindings(rig)
  await pass(rig, HOUR_MS - 60_000, [server])
  await rig.restart()
  await pass(rig, HOUR_MS - 60_000, [server])
  t.strictSame(await listed(rig), only('server', 'guest'))
  await pass(rig, 120_000, [server])
  t.strictSame(await listed(rig), only('server'))
})

t.test('one that may still run what pond gave up has a day to bring it', async (t) => {
  const rig = await createPondRig(t)
  const { server, guest } = await bindings(rig)
  const { id } = await submit(rig)
  const intent = await guest.start()
  await pass(rig, 23 * HOUR_MS, [server])
  t.match((await rig.call('getJob', { params: { id } })).reply, { state: 'failed', cause: 'worker_lost' })
  const late = await guest.say(intent, { state: 'final', cause: 'exit', rc: 0 })
  t.match(late.error, { code: 'stale', details: { kept: true } })
  t.strictSame(await listed(rig), only('server', 'guest'))
  await pass(rig, 2 * HOUR_MS, [server])
  t.strictSame(await listed(rig), only('server'))
})

t.test('where most fell silent at once the fault may be near pond, and nobody is gone', async (t) => {
  const rig = await createPondRig(t)
  const { server, guest } = await bindings(rig)
  const others = await Promise.all(['l', 'm'].map((letter) => pairMachine(rig, { letter, name: letter })))
  await pass(rig, 20_000, [server, guest, ...others])
  await pass(rig, 3 * GRACE_MS, [server])
  t.strictSame(await listed(rig), only('server', 'guest', 'l', 'm'))
  await pass(rig, 30_000, [server, ...others])
  t.strictSame(await listed(rig), only('server', 'l', 'm'), 'the others are back, and it is not')
})

t.test('while pond hears of nobody, nobody is gone; nor by a restart', async (t) => {
  const rig = await createPondRig(t)
  const { server, guest } = await bindings(rig)
  await pass(rig, 4 * GRACE_MS, [])
  await rig.restart()
  await pass(rig, GRACE_MS - 20_000, [server])
  t.strictSame(await listed(rig), only('server', 'guest'))
  t.equal((await rig.call('orchWhoami', { token: guest.token })).status, 200)
})

t.test('the last machine of a pond has a day to come back', async (t) => {
  const rig = await createPondRig(t)
  const guest = await pairMachine(rig, { letter: 'g', name: 'guest', ephemeral: true })
  await pass(rig, 20_000, [guest])
  await pass(rig, 24 * HOUR_MS - 60_000, [])
  t.strictSame(await listed(rig), only('guest'))
  await pass(rig, 2 * 60_000, [])
  t.strictSame(await listed(rig), only())
})

t.test('its rows go when the retention is over', async (t) => {
  const rig = await createPondRig(t, { settings: { retentionMs: 3 * 60_000 } })
  const { server, guest } = await bindings(rig)
  await rig.call('unpair', { token: guest.token, body: {} })
  const status = async () => (await rig.call('getBinding', { params: { id: guest.bindingId } })).status
  await pass(rig, 2 * 60_000, [server])
  t.equal(await status(), 200)
  await pass(rig, 2 * 60_000, [server])
  t.equal(await status(), 404)
  t.strictSame(await listed(rig), only('server'))
  await rig.restart()
  t.strictSame(await listed(rig), only('server'))
})

t.test('silence adds up over visits of the others, however short', async (t) => {
  const rig = await createPondRig(t)
  const { server, guest } = await bindings(rig)
  await pass(rig, 20_000, [server, guest])
  for (let hour = 0; hour < 4; hour++) {
    await pass(rig, 58 * 60_000, [])
    await pass(rig, 2 * 60_000, [server])
  }
  t.strictSame(await listed(rig), only('server'))
})
