// How much disk a swarm offers: what jobs were promised and have not written yet is never promised again.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { createDiskOffer } from '../../src/orchestrator/disk-offer.ts'
import { PROTOCOL } from '../../src/protocol/version.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

/** Asked with what is free and what jobs hold at that moment. */
function offering(most?: number) {
  let now: { readonly spareBytes: number | undefined; readonly heldBytes: number }
  const gate = { spareDisk: () => now.spareBytes }
  const offer = createDiskOffer({ most, gate, holding: { diskBytes: () => now.heldBytes } })
  return (told: typeof now) => {
    now = told
    return offer()
  }
}

t.test('what was free without a job is the whole; with one it is not measured anew, and only falls', async (t) => {
  const offer = offering()
  t.equal(offer({ spareBytes: 40, heldBytes: 30 }), 0, 'it has not seen the disk without a job')
  t.equal(offer({ spareBytes: 100, heldBytes: 0 }), 100)
  t.equal(offer({ spareBytes: 100, heldBytes: 60 }), 100, 'it has written nothing yet')
  t.equal(offer({ spareBytes: 40, heldBytes: 60 }), 100, 'it has written all of its part')
  t.equal(offer({ spareBytes: 25, heldBytes: 60 }), 85, 'somebody else took some')
  t.equal(offer({ spareBytes: 250, heldBytes: 60 }), 100, 'what came free meanwhile is not promised yet')
  t.equal(offer({ spareBytes: 310, heldBytes: 0 }), 310)
  t.equal(offer({ spareBytes: undefined, heldBytes: 0 }), undefined)
  t.equal(offering(50)({ spareBytes: 100, heldBytes: 0 }), 50, 'never more than the owner gives')
})

t.test('as long as nobody else writes, all jobs together may fill their parts, at any moment', async (t) => {
  const step = fc.oneof(
    fc.record({ start: fc.integer({ min: 1, max: 500 }) }),
    fc.record({ write: fc.nat(9), part: fc.integer({ min: 0, max: 100 }) }),
    fc.record({ end: fc.nat(9) }),
  )
  fc.assert(
    fc.property(fc.nat(1000), fc.array(step, { maxLength: 60 }), (disk, steps) => {
      const offer = offering()
      const jobs: { readonly held: number; written: number }[] = []
      const held = () => jobs.reduce((sum, job) => sum + job.held, 0)
      for (const now of steps) {
        const spareBytes = disk - jobs.reduce((sum, { written }) => sum + written, 0)
        const offered = offer({ spareBytes, heldBytes: held() }) ?? 0
        if ('start' in now && now.start <= offered - held()) jobs.push({ held: now.start, written: 0 })
        if ('end' in now) jobs.splice(now.end, 1)
        const job = 'write' in now ? jobs[now.write] : undefined
        if (job && 'part' in now) job.written = Math.max(job.written, Math.floor((job.held * now.part) / 100))
        assert.ok(held() <= disk)
        if (jobs.length === 0) assert.equal(offer({ spareBytes: disk, heldBytes: 0 }), disk)
      }
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 scripts')
})

const GiB = 1024 ** 3

/** What the latest snapshot offers of each worker. */
const told = ({ pond }: Awaited<ReturnType<typeof createSwarmRig>>) =>
  pond.snapshots.at(-1)?.workers.map(({ resources }) => resources.disk_bytes)

t.test('a swarm offers what is free where jobs have their folders, but for what it keeps itself', async (t) => {
  const rig = await createSwarmRig()
  rig.disk.roomBytes = 10 * GiB
  const { swarm } = await rig.start()
  await rig.clock.advance(60_000)
  const kept = 10 * GiB - (told(rig)?.[0] ?? 0)
  t.ok(kept >= GiB && kept < GiB + 1e6, 'and the files of swarm’s own')
  t.equal(swarm.status().workers[0]?.resources.disk_bytes, told(rig)?.[0])
  rig.pond.give({ requires: { disk_bytes: 6 * GiB } })
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 1)
  rig.disk.roomBytes = 5 * GiB
  await rig.clock.advance(60_000)
  t.equal(told(rig)?.[0], 10 * GiB - kept, 'what is gone is the job’s own')
  const { claim_id } = rig.pond.give({ requires: { disk_bytes: 5 * GiB } })
  await rig.clock.settle()
  t.match(rig.pond.finalOf(claim_id), { state: 'declined', cause: 'drained', message: /requires.disk_bytes/ })
  rig.disk.roomBytes = 2 * GiB
  await rig.clock.advance(60_000)
  t.equal(told(rig)?.[0], 7 * GiB, 'somebody else took some')
})

t.test('a pond of the step before is not told of disks', async (t) => {
  const rig = await createSwarmRig()
  rig.pond.protocol = PROTOCOL - 1
  await rig.start()
  await rig.clock.advance(60_000)
  t.ok(rig.pond.snapshots.length > 1)
  t.strictSame(told(rig), [undefined])
})

t.test('the last word of a job that holds some of the disk waits until its folder is gone', async (t) => {
  const rig = await createSwarmRig()
  await rig.start()
  let remove = () => {}
  rig.executor.onRelease = () =>
    new Promise<void>((resolve) => {
      remove = resolve
    })
  const ended = async (requires: { disk_bytes?: number }) => {
    const { claim_id } = rig.pond.give({ requires })
    await rig.clock.settle()
    rig.executor.processes.at(-1)?.exit()
    await rig.clock.advance(5000)
    return claim_id
  }
  t.ok(rig.pond.finalOf(await ended({})), 'who holds none does not wait')
  const held = await ended({ disk_bytes: 1 })
  t.notOk(rig.pond.finalOf(held))
  remove()
  await rig.clock.settle()
  t.match(rig.pond.finalOf(held), { cause: 'exit' })
})
