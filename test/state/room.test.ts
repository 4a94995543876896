// What a worker has free, and that it is never given twice.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { type Candidate, fill, type Held, hold, type Room, roomOf } from '../../src/state/room.ts'
import { newWorker, workerStates } from '../../src/state/worker.ts'

const now = 1_000_000
const resources = { slots: 8 }
const candidate: Candidate = { worker: newWorker, resources, freeSlots: 8, claims: 0, held: [], most: 99 }
const slotsOf = (more: Partial<Candidate>, at = now) => roomOf({ ...candidate, ...more }, at).slots

t.test('slots: the least of what the worker says, the ledger says and trust allows', async (t) => {
  t.equal(slotsOf({}), 8)
  t.equal(slotsOf({ freeSlots: 3 }), 3, 'the worker has less room')
  t.equal(slotsOf({ claims: 6 }), 2, 'the ledger still counts six')
  t.equal(slotsOf({ claims: 9 }), 0, 'slots were taken away under live claims')
  t.equal(slotsOf({ most: 1 }), 1, 'it is slowed down')
  const worker = { state: 'probation', mishaps: 3, pausedUntil: now } as const
  t.equal(slotsOf({ worker }), 1, 'one on probation')
  t.equal(slotsOf({ worker }, now - 1), 0, 'none in the pause')
  t.equal(slotsOf({ worker, claims: 1 }), 0, 'one at a time')
  t.equal(slotsOf({ worker: { ...worker, state: 'quarantined' } }), 0)
  t.equal(slotsOf({ worker: { ...worker, state: 'revoked' } }), 0)
})

const gpus = [
  { uuid: 'GPU-a', model: 'NVIDIA A100', vram_bytes: 80 },
  { uuid: 'GPU-b', model: 'NVIDIA T4', vram_bytes: 16 },
  { uuid: 'GPU-c', model: 'NVIDIA T4', vram_bytes: 15 },
  { uuid: 'GPU-d' },
]
const machine = { slots: 8, cpus: 4, memory_bytes: 1000, disk_bytes: 3000, gpus }
const whole = roomOf({ ...candidate, resources: machine }, now)

t.test('a job holds what it asks for, and nothing that it does not', async (t) => {
  t.strictSame(hold({}, whole), {})
  t.strictSame(hold({ os: 'linux', cpus: 0.5, memory_bytes: 7 }, whole), { cpus: 0.5, memory_bytes: 7 })
  t.equal(hold({ cpus: 4.001 }, whole), undefined)
  t.strictSame(hold({ disk_bytes: 3000 }, whole), { disk_bytes: 3000 })
  t.equal(hold({ memory_bytes: 1001 }, whole), undefined)
  t.equal(hold({ disk_bytes: 3001 }, whole), undefined)
  t.equal(hold({}, { ...whole, slots: 0 }), undefined)
  const rest = fill(whole, { cpus: 3.9, memory_bytes: 400, disk_bytes: 1, gpus: ['GPU-a'] })
  t.strictSame(rest, { slots: 7, milliCpus: 100, memoryBytes: 600, diskBytes: 2999, gpus: gpus.slice(1) })
  t.strictSame(hold({ cpus: 0.1 }, rest), { cpus: 0.1 })
})

t.test('devices: of the kind, the smallest that will do, and none of which too little is known', async (t) => {
  const choose = (need: { count: number; model?: string; min_vram_bytes?: number }, room: Room = whole) =>
    hold({ gpus: need }, room)?.gpus
  t.strictSame(choose({ count: 1 }), ['GPU-d'])
  t.strictSame(choose({ count: 1, min_vram_bytes: 1 }), ['GPU-c'])
  t.strictSame(choose({ count: 2, model: 't4' }), ['GPU-c', 'GPU-b'])
  t.strictSame(choose({ count: 1, model: 'A100' }), ['GPU-a'])
  t.equal(choose({ count: 3, model: 'T4' }), undefined)
  t.equal(choose({ count: 1, model: 'T4' }, fill(whole, { gpus: ['GPU-b', 'GPU-c'] })), undefined)
})

t.test('nothing is ever given twice, in whatever order jobs come and go', async (t) => {
  const needs = fc.record(
    {
      cpus: fc.integer({ min: 1, max: 4000 }).map((milli) => milli / 1000),
      memory_bytes: fc.integer({ min: 1, max: 1000 }),
      disk_bytes: fc.integer({ min: 1, max: 3000 }),
      gpus: fc.record({ count: fc.integer({ min: 1, max: 3 }) }),
    },
    { requiredKeys: [] },
  )
  const steps = fc.array(fc.oneof(needs, fc.nat(9)), { maxLength: 60 })
  const states = fc.constantFrom(...workerStates)
  fc.assert(
    fc.property(steps, states, fc.nat(9), (script, state, freeSlots) => {
      const held: Held[] = []
      for (const step of script) {
        const worker = { state, mishaps: 0, pausedUntil: 0 }
        const room = roomOf({ ...candidate, worker, freeSlots, resources: machine, claims: held.length, held }, now)
        const got = typeof step === 'number' ? held.splice(step, 1) && undefined : hold(step, room)
        if (got) held.push(got)
        assert.ok(room.slots >= 0 && room.slots <= freeSlots)
        assert.ok(held.length <= 8)
        assert.ok(sum(held, ({ cpus = 0 }) => Math.round(cpus * 1000)) <= 4000)
        assert.ok(sum(held, ({ memory_bytes = 0 }) => memory_bytes) <= 1000)
        assert.ok(sum(held, ({ disk_bytes = 0 }) => disk_bytes) <= 3000)
        const devices = held.flatMap((one) => one.gpus ?? [])
        assert.equal(new Set(devices).size, devices.length)
        if (state !== 'ready') assert.ok(held.length <= 1)
      }
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 scripts')
})

const sum = (held: readonly Held[], of: (one: Held) => number) => held.reduce((total, one) => total + of(one), 0)
