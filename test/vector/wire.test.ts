// The wire of each step of the protocol, as it was recorded, against the code of now: an older swarm at this pond, this swarm at an older pond.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { keySet } from '../../src/orchestrator/binding.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import { createPondRig, type PondRig } from '../harness/pond.ts'
import { startPool } from '../harness/pool.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'
import { faultsOf, playSwarm } from './wire-player.ts'
import { createRecordedPond } from './wire-pond.ts'
import { given, made, work } from './wire-story.ts'
import { Variables } from './wire-variable.ts'
import { readVector, schemasOfNow, type WireVector } from './wire-vector.ts'

const vectors = Array.from({ length: PROTOCOL - OLDEST_PROTOCOL + 1 }, (_, index) =>
  readVector(OLDEST_PROTOCOL + index),
).flatMap((vector) => vector ?? [])

t.test('the wire of this code is on record', async (t) => {
  const what = `record it: npx tsx test/vector/write-wire.ts; if step ${PROTOCOL} was released, let PROTOCOL rise first`
  t.strictSame(schemasOfNow(), readVector(PROTOCOL)?.routes, what)
})

const rigOf = (t: Test, { pond_key_file }: WireVector) => createPondRig(t, { keyFile: JSON.stringify(pond_key_file) })

for (const vector of vectors) {
  for (const story of [vector.byHand, vector.swarm]) {
    t.test(`step ${vector.protocol} at this pond: ${story.title}`, async (t) => {
      t.strictSame(await playSwarm(await rigOf(t, vector), story), [])
    })
  }
}

/** As much of a rig as a pool needs, around a pond that is not there any more. */
function olderRig(vector: WireVector) {
  const clock = createVirtualClock()
  const pond = createRecordedPond(vector, clock)
  const call = async () => ({ reply: { code: pond.code } })
  return { pond, rig: { clock, pond, adminToken: '', call } as unknown as PondRig }
}

/** Files of a job are read from a real disk, which no virtual clock waits for. */
async function reached({ clock }: PondRig, met: () => boolean, mostMs = 600_000): Promise<void> {
  for (let waited = 0; !met() && waited < mostMs; waited += 20) await clock.advance(20)
}

for (const vector of vectors) {
  t.test(
    `this swarm at a pond of step ${vector.protocol}: it pairs, runs a job with all that one has, and ends`,
    async (t) => {
      const { rig, pond } = olderRig(vector)
      const pool = await startPool(rig, { keySet: keySet.parse(vector.swarm_keys), allowUnsandboxed: true })
      pool.executor.work = made(t)
      pond.give()
      await rig.clock.until(() => pool.executor.processes.length === 1, 60_000)
      const [process] = pool.executor.processes
      t.match(process?.plan, { command: ['work'], env: given.env })
      const folder = join(pool.executor.work, 'box')
      mkdirSync(folder)
      await process?.plan.prepare?.(folder)
      t.equal(readFileSync(join(folder, given.file), 'utf8'), given.content)
      work(pool)
      await reached(rig, () => pond.words.some(({ state }) => state === 'final'))
      t.match(pond.words.at(-1), { state: 'final', cause: 'exit', rc: 3, result: '{"sum":3}' })
      const stored = [...pond.streams].map(([name, bytes]) => [name, bytes.toString()])
      t.strictSame(Object.fromEntries(stored), { stdout: 'a line of output\n', 'artifact/0': 'an artifact' })
      await rig.clock.advance(120_000)
      pool.swarm.drain()
      await rig.clock.until(() => pool.end !== undefined, 120_000)
      t.strictSame(
        pond.refused.filter((it) => !it.includes(`upgrade_required: ${PROTOCOL}`)),
        [],
        'it says nothing that this step does not know',
      )
      t.equal(
        pond.refused.length,
        vector.protocol === PROTOCOL ? 0 : 2,
        'and learns the step by one refusal of its pairing and one of its poll',
      )
    },
  )
}

t.test('a reply that lacks a field, or says something else, is a fault; one that says more is none', async (t) => {
  const told = { id: 'job_1', list: [{ rc: 0, at: 1 }], error: { code: 'stale', message: 'words' } }
  const exchange = { reply: { at: 0, before: 1, status: 200, body: { json: told } } }
  const judge = (body: unknown, status = 200) => faultsOf(exchange, { status, body }, new Variables())
  t.strictSame(judge({ ...told, more: 1, error: { code: 'stale', message: 'other words' } }), [])
  t.strictSame(judge(told, 201), ['status 201 in place of 200'])
  t.strictSame(judge({ ...told, list: [] }), ['reply.list has 0 in place of 1'])
  t.strictSame(judge({ ...told, list: [{ rc: 1 }] }), [
    'reply.list[0].rc is 1 in place of 0',
    'reply.list[0].at is undefined in place of 1',
  ])
  t.strictSame(judge({ ...told, error: { code: 'stale', message: 5 } }), ['reply.error.message is of another type'])
  t.strictSame(judge({ ...told, id: undefined }), ['reply.id is no text'])
})

t.test('the pond of an older step refuses what its step did not know', async (t) => {
  const [vector] = vectors
  if (!vector) throw new Error('no step was recorded')
  const narrow = structuredClone(vector)
  const poll = narrow.routes.poll?.body as { readonly properties: Record<string, unknown> } | undefined
  delete poll?.properties.session
  const { rig, pond } = olderRig(narrow)
  await startPool(rig, { keySet: keySet.parse(vector.swarm_keys) })
  await rig.clock.advance(1000)
  t.match(pond.refused.at(-1), /^poll: (unknown|invalid)_field: .*session/)
})
