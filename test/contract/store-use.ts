// What attempts used, as every store adds it up. Part of the suite in store.ts.
import type { Test } from 'tap'
import type { Store } from '../../server/store/contract.ts'
import type { ClaimRow } from '../../server/store/row.ts'
import type { JobState } from '../../src/protocol/job.ts'
import * as sample from './store-row.ts'

const DAY = 24 * 3_600_000
/** The start of a day. */
const TODAY = Math.floor(sample.at / DAY) * DAY

const heard = { state: 'ended', holdMs: 0, finalDigest: 'f' } as const
const used = (cpu_ms: number, ...bytes: readonly number[]): Partial<ClaimRow> => ({
  usage: { cpu_ms, wall_ms: 2 * cpu_ms, max_rss_bytes: 1, sampled: false },
  streams: Object.fromEntries(
    bytes.map((size, index) => [`artifact/${index}`, { bytes: size, sha256: 'a', produced: size, end: 'complete' }]),
  ),
})

interface Attempt extends Partial<ClaimRow> {
  /** When its word came. */
  readonly saidAt: number
}

/** A job with its attempts; `endAt` absent: it goes on. */
async function put(
  store: Store,
  number: number,
  job: {
    readonly state: JobState
    readonly endAt?: number
    readonly project?: number
    readonly attempts: readonly Attempt[]
  },
): Promise<void> {
  const { state, endAt, project = 1, attempts } = job
  const [jobId, projectId] = [sample.jobIdOf(number), sample.projectIdOf(project)]
  const end = endAt === undefined ? {} : { end: { cause: 'exit' as const, rc: 0, at: endAt } }
  await store.write(async (tx) => {
    const law = { state, attempts: attempts.length, ...end }
    await tx.insertJob(sample.jobRow(number, { projectId, law }), sample.specOf(number))
    for (const [index, { saidAt, ...row }] of attempts.entries()) {
      const id = sample.claimIdOf(10 * number + index)
      await tx.insertClaim(sample.claimRow(1, { id, jobId, projectId, epoch: index + 1, lease: heard, ...row }))
      await tx.insertTransition(sample.transitionRow(index + 2, { jobId, claimId: id, at: saidAt, to: 'queued' }))
    }
  })
}

export async function projectQuota(t: Test, store: Store): Promise<void> {
  const row = sample.projectRow(1, { quota: { queued: 5, priority_most: 0 } })
  const { quota: _quota, ...free } = row
  await store.write((tx) => tx.insertProject(row))
  await store.write((tx) => tx.insertProject(sample.projectRow(2)))
  t.strictSame(await store.read((tx) => tx.getProject(row.id)), row)
  await store.write((tx) => tx.updateProject({ ...row, quota: { running: 1 } }))
  t.strictSame(await store.read((tx) => tx.findProject(row.name)), { ...row, quota: { running: 1 } })
  await store.write((tx) => tx.updateProject(free))
  t.strictSame(await store.read((tx) => tx.listProjects()), [free, sample.projectRow(2)])
  await t.rejects(store.write((tx) => tx.updateProject(sample.projectRow(9))))
}

export async function endedJobs(t: Test, store: Store): Promise<void> {
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
  })
  const lost = { lease: { state: 'lost', holdMs: 0 }, ...used(1000, 1000), saidAt: TODAY } as const
  await put(store, 1, { state: 'succeeded', endAt: TODAY, attempts: [lost, { ...used(1.5, 10, 5), saidAt: TODAY }] })
  await put(store, 2, { state: 'failed', endAt: TODAY + 1, attempts: [{ ...used(7), saidAt: TODAY }] })
  await put(store, 3, { state: 'cancelled', endAt: TODAY + 1, attempts: [] })
  await put(store, 4, { state: 'succeeded', endAt: TODAY - 1, attempts: [{ saidAt: TODAY }] })
  await put(store, 5, { state: 'succeeded', endAt: TODAY + 2, project: 2, attempts: [{ ...used(9), saidAt: TODAY }] })
  await put(store, 6, { state: 'queued', attempts: [{ ...used(9), saidAt: TODAY }] })
  const of = { projectId: sample.projectIdOf(1), since: TODAY, limit: 10 }
  const all = [
    { id: sample.jobIdOf(3), state: 'cancelled', at: TODAY + 1, cpuMs: 0, runMs: 0, outputBytes: 0 },
    { id: sample.jobIdOf(2), state: 'failed', at: TODAY + 1, cpuMs: 7, runMs: 14, outputBytes: 0 },
    { id: sample.jobIdOf(1), state: 'succeeded', at: TODAY, cpuMs: 1.5, runMs: 3, outputBytes: 15 },
  ]
  await store.read(async (tx) => {
    t.same(await tx.listEnds(of), all)
    t.same(await tx.listEnds({ ...of, limit: 1 }), all.slice(0, 1))
    const [first] = all
    t.same(await tx.listEnds({ ...of, before: { id: first?.id ?? sample.jobIdOf(3), at: TODAY + 1 } }), all.slice(1))
    t.equal((await tx.listEnds({ ...of, since: TODAY - 1 })).length, 4)
    t.same(await tx.listEnded(TODAY + 9, 9), [4, 1, 2, 3, 5].map(sample.jobIdOf), 'of all projects, oldest first')
  })
}

export async function usedSince(t: Test, store: Store): Promise<void> {
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
  })
  const sum = (since = TODAY) => store.read((tx) => tx.sumUse(sample.projectIdOf(1), since))
  t.same(await sum(), { cpuMs: 0, outputBytes: 0 })
  const [early, late] = [TODAY - 1, TODAY]
  await put(store, 1, {
    ...{ state: 'succeeded', endAt: late },
    attempts: [
      { ...used(1000, 1000), saidAt: early },
      { ...used(1, 10), saidAt: late },
    ],
  })
  await put(store, 2, { state: 'queued', attempts: [{ ...used(2, 20), saidAt: late }] })
  await put(store, 3, { state: 'claimed', attempts: [{ ...used(4, 40), saidAt: late }] })
  await put(store, 4, {
    state: 'running',
    attempts: [
      { ...used(8, 80), saidAt: late },
      { lease: { state: 'granted', holdMs: 0 }, saidAt: late },
    ],
  })
  await put(store, 5, { state: 'succeeded', endAt: early, attempts: [{ ...used(1000, 1000), saidAt: early }] })
  await put(store, 6, { state: 'succeeded', endAt: late, project: 2, attempts: [{ ...used(1000), saidAt: late }] })
  await put(store, 7, { state: 'queued', attempts: [] })
  t.same(await sum(), { cpuMs: 15, outputBytes: 150 })
  t.same(await sum(early), { cpuMs: 2015, outputBytes: 2150 })
}
