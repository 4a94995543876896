// A small fleet run: pond's real services place some thousand jobs of mixed needs, and the ledger of the machines, the planner and the bound are what they say.
import t from 'tap'
import { lowerBoundMs, plannedMs } from './fleet/bound.ts'
import type { FleetJob } from './fleet/workload.ts'
import { makeFleet } from './fleet/workload.ts'
import { runFleet } from './fleet/world.ts'
import { soakFleet } from './fleet.ts'

const GIB = 2 ** 30

t.test('a mixed fleet: nothing is over-committed, each job runs once, and no kind of job starves', async (t) => {
  const { faults, machines, burst, stream } = await soakFleet({ seed: 1, jobs: 2500 })
  t.strictSame(faults, [])
  t.equal(machines, 64)
  for (const [name, { makespan_s, bound_s, planned_s, to_planned, waits_s }] of Object.entries({ burst, stream })) {
    t.ok(makespan_s >= bound_s && planned_s >= bound_s, `${name}: nothing beats the bound`)
    t.ok(to_planned < 2.5, `${name}: ${to_planned} × the planner that knows all`)
    t.ok(
      (waits_s['some gpus']?.p99 ?? 0) < makespan_s / 2,
      `${name}: jobs of several GPUs come to run among those of one`,
    )
  }
})

const jobOf = (index: number, requires: FleetJob['requires'], durationMs: number): FleetJob => ({
  ...{ index, kind: 'small', requires, durationMs, arrivesMs: 0 },
})

t.test('the ledger of a machine sees what pond was not told', async (t) => {
  const [machine] = makeFleet().filter(({ kind }) => kind === 'gpu80')
  if (!machine) throw new Error('there is one')
  // Pond is told of a machine that is larger than it is.
  const told = { ...machine, cpus: 2 * machine.cpus, slots: 2 * machine.slots }
  const jobs = Array.from({ length: 2 * machine.slots }, (_, index) => jobOf(index, { cpus: 1 }, 60_000))
  const { faults } = await runFleet([{ machine, told }], jobs, 1)
  t.match(faults, [/milliCpus: \d+ held of/])
  t.strictSame((await runFleet([{ machine }], jobs, 1)).faults, [])
})

t.test('the bound counts what can run in few places only, and the planner what fits together', (t) => {
  const machines = makeFleet()
  const arm = machines.filter(({ kind }) => kind === 'arm').reduce((sum, { cpus }) => sum + cpus, 0)
  const jobs = Array.from({ length: 10 * arm }, (_, index) => jobOf(index, { arch: 'arm64', cpus: 1 }, 1000))
  t.equal(lowerBoundMs(jobs, machines), 10_000)
  t.equal(plannedMs(jobs, machines), 10_000)
  const eights = Array.from({ length: 4 }, (_, index) =>
    jobOf(index, { gpus: { count: 8, min_vram_bytes: 40 * GIB } }, 1000),
  )
  t.equal(plannedMs(eights, machines), 2000, 'three machines have eight of them')
  const late = eights.map((job) => ({ ...job, arrivesMs: 5000 }))
  t.equal(lowerBoundMs(late, machines), 6000)
  t.equal(plannedMs(late, machines), 7000)
  t.end()
})
