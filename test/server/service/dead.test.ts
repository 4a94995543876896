// Dead letters through the services: what is in the list, page by page, and how something leaves it.
import t from 'tap'
import { DEAD_SCAN } from '../../../server/service/dead.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const replay = (rig: PondRig, id: string) => rig.call('replayJob', { params: { id }, body: {} })
const dismiss = (rig: PondRig, id: string) => rig.call('dismissJob', { params: { id } })
const dead = async (rig: PondRig, query: Record<string, string> = {}) =>
  (await rig.call('listDead', { query })).reply.items.map(({ id }) => id)

async function fail(rig: PondRig, box: Machine): Promise<string> {
  const { id } = await submit(rig)
  await box.say(await box.start(), { ...finalWord, rc: 3 })
  return id
}

t.test('the list: pages that may be short, filters, other projects, and what is dismissed', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const lost = await submit(rig, { labels: { app: 'a' } })
  await box.start()
  await rig.clock.advance(limit.leaseMs + 2000)
  const late = await submit(rig, { ttl_ms: 1000 })
  await rig.clock.advance(2000)
  const failed = await fail(rig, box)
  const list = (query: Record<string, string>) => rig.call('listDead', { query })
  t.strictSame(await dead(rig), [failed, late.id, lost.id])
  t.strictSame(await dead(rig, { cause: 'ttl' }), [late.id])
  t.strictSame(await dead(rig, { label: 'app=a' }), [lost.id])
  const page = (await list({ limit: '2' })).reply
  t.equal(page.items.length, 2)
  t.match((await list({ cursor: page.next ?? '' })).reply, { items: [{ id: lost.id }], next: null })
  for (const cursor of ['x', '5', `5.${failed.slice(1)}`]) t.match(await list({ cursor }), { code: 'invalid_field' })
  await rig.call('createProject', { body: { name: 'other' } })
  const elsewhere = await rig.call('listDead', { headers: { 'pond-project': 'other' } })
  t.strictSame(elsewhere.reply, { items: [], next: null })
  t.match((await dismiss(rig, late.id)).reply, { state: 'expired', dismissed_at: rig.clock.now() })
  const { version } = await jobOf(rig, late.id)
  await rig.clock.advance(5)
  t.match((await dismiss(rig, late.id)).reply, { version }, 'a repeat changes nothing')
  t.match((await rig.call('listTransitions', { params: { id: late.id } })).reply.items.at(-1), { note: 'dismissed' })
  await rig.restart()
  t.strictSame(await dead(rig), [failed, lost.id])
  t.match((await replay(rig, late.id)).reply, { replay_of: late.id }, 'a person may still ask for it')
  const { id } = await submit(rig)
  t.match(await dismiss(rig, id), { code: 'not_possible' })
})

t.test('behind many that ended well a page is empty and has a next; many are replayed all the same', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const id = await fail(rig, box)
  await rig.clock.advance(10)
  const body = { jobs: Array.from({ length: DEAD_SCAN }, () => ({ command: ['true'], labels: { app: 'a' } })) }
  await rig.call('submitJob', { body })
  await rig.call('cancelJobs', { body: { label: 'app=a' } })
  const { reply } = await rig.call('listDead')
  t.strictSame(reply.items, [])
  t.strictSame(await dead(rig, { cursor: reply.next ?? '' }), [id])
  t.match((await rig.call('replayJobs', { body: { cause: 'exit' } })).reply, { replayed: [{ from: id }], left: false })
})
