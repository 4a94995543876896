// The part of a store's contract that is about lists: every filter of jobs against the same filter in memory, and the lists of the start and the sweeps.
import type { Test } from 'tap'
import type { Store } from '../../server/store/contract.ts'
import type { JobFilter, JobRow } from '../../server/store/row.ts'
import { elementId } from '../../src/protocol/id.ts'
import { type JobState, jobStates } from '../../src/protocol/job.ts'
import * as sample from './store-row.ts'

export async function jobLists(t: Test, store: Store): Promise<void> {
  const count = 4 * jobStates.length
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
    for (let number = 1; number <= count; number += 1) {
      const state = jobStates[number % jobStates.length] ?? 'queued'
      const projectId = sample.projectIdOf(number % 3 === 0 ? 2 : 1)
      const labels: Record<string, string> = number % 2 === 0 ? { app: 'even', number: `${number}` } : { app: 'odd' }
      await tx.insertJob(sample.jobRow(number, { ...sample.inState(state), projectId, labels }), sample.specOf(number))
    }
  })
  const all = await store.read((tx) => tx.listJobs({ limit: 1000 }))
  t.strictSame(
    all.map(({ id }) => id),
    Array.from({ length: count }, (_, index) => sample.jobIdOf(count - index)),
  )
  const state = [undefined, ...jobStates]
  const projectId = [undefined, sample.projectIdOf(1), sample.projectIdOf(2), sample.projectIdOf(9)]
  const label = [undefined, { key: 'app', value: 'even' }, { key: 'number', value: '6' }, { key: 'app', value: 'none' }]
  const before = [undefined, sample.jobIdOf(17)]
  for (const filter of combine({ state, projectId, label, before, limit: [3, 1000] })) {
    const expected = all
      .filter((job) => filter.state === undefined || job.law.state === filter.state)
      .filter((job) => filter.projectId === undefined || job.projectId === filter.projectId)
      .filter((job) => filter.label === undefined || job.labels[filter.label.key] === filter.label.value)
      .filter((job) => filter.before === undefined || job.id < filter.before)
      .slice(0, filter.limit)
    const listed = await store.read((tx) => tx.listJobs(filter))
    if (JSON.stringify(listed) !== JSON.stringify(expected)) t.strictSame(listed, expected, JSON.stringify(filter))
  }
  t.strictSame((await store.read((tx) => tx.listJobs({ limit: 1 })))[0], all[0], 'whole rows')
}

type Choices<T> = { readonly [K in keyof T]: readonly T[K][] }
type Chosen<T> =
  | { readonly [K in keyof T]: Exclude<T[K], undefined> }
  | { readonly [K in keyof T]?: Exclude<T[K], undefined> }

/** Every combination, an undefined choice left out. */
function combine<T extends { readonly limit: number }>(
  choices: Choices<T>,
): readonly (Partial<Chosen<T>> & { limit: number })[] {
  let rows: Record<string, unknown>[] = [{}]
  for (const [name, values] of Object.entries(choices) as [string, readonly unknown[]][]) {
    rows = rows.flatMap((row) => values.map((value) => (value === undefined ? row : { ...row, [name]: value })))
  }
  return rows as (Partial<Chosen<T>> & { limit: number })[]
}

export async function jobSweeps(t: Test, store: Store): Promise<void> {
  const passedOver = { [sample.workerIdOf(1)]: sample.at }
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
    for (const [index, state] of jobStates.entries()) {
      const end =
        state === 'failed' || state === 'succeeded' ? { end: { cause: 'exit' as const, at: sample.at - index } } : {}
      const projectId = sample.projectIdOf(1 + (index % 2))
      await tx.insertJob(sample.jobRow(index, { projectId, law: { state, ...end } }), sample.specOf(index))
    }
    const law = { notBefore: sample.at, passedOver }
    await tx.insertJob(
      sample.jobRow(99, { law, priority: 9, needs: '{"os":"linux"}', expiresAt: sample.at + 1 }),
      sample.specOf(99),
    )
  })
  await store.read(async (tx) => {
    const queued = await sample.allQueued(tx)
    const base = { passedOver: {}, priority: 5, needs: '{}', createdAt: sample.at } as const
    t.strictSame(queued, [
      {
        state: 'queued',
        id: sample.jobIdOf(99),
        projectId: sample.projectIdOf(1),
        priority: 9,
        needs: '{"os":"linux"}',
        passedOver,
        createdAt: sample.at,
        notBefore: sample.at,
        expiresAt: sample.at + 1,
      },
      { ...base, state: 'waiting', id: sample.jobIdOf(0), projectId: sample.projectIdOf(1) },
      { ...base, state: 'queued', id: sample.jobIdOf(1), projectId: sample.projectIdOf(2) },
    ])
    const failed = sample.jobIdOf(jobStates.indexOf('failed'))
    const succeeded = sample.jobIdOf(jobStates.indexOf('succeeded'))
    t.strictSame(await tx.listEnded(sample.at, 10), [failed, succeeded])
    t.strictSame(await tx.listEnded(sample.at, 1), [failed])
    t.strictSame(await tx.listEnded(sample.at - jobStates.indexOf('failed'), 10), [], 'before, not at')
  })
}

export async function dependencies(t: Test, store: Store): Promise<void> {
  const [first, second, third] = [1, 2, 3].map(sample.jobIdOf)
  if (!first || !second || !third) throw new Error('three jobs')
  const rows = [
    { jobId: second, otherId: first, on: 'success' },
    { jobId: third, otherId: first, on: 'end' },
    { jobId: third, otherId: second, on: 'success' },
  ] as const
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    for (const number of [1, 2, 3]) await tx.insertJob(sample.jobRow(number), sample.specOf(number))
    for (const row of rows) await tx.insertDependency(row)
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.listDependencies(third, 10), rows.slice(1))
    t.strictSame(await tx.listDependencies(third, 1), rows.slice(1, 2))
    t.strictSame(await tx.listDependents(first, 10), rows.slice(0, 2))
    t.strictSame(await tx.listDependents(first, 1), rows.slice(0, 1))
    t.strictSame(await tx.listAwaited(), [first, second])
  })
  await store.write(async (tx) => {
    await tx.deleteDependency(rows[1])
    await tx.deleteDependency(rows[1])
  })
  await store.read(async (tx) => t.strictSame(await tx.listDependencies(third, 10), rows.slice(2)))
}

export async function goneBindings(t: Test, store: Store): Promise<void> {
  const left = { state: 'revoked', revokedAt: sample.at } as const
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertBinding(sample.bindingRow(1, left))
    await tx.insertBinding(sample.bindingRow(2))
    await tx.insertBinding(sample.bindingRow(3, { ...left, ephemeral: false }))
    for (const number of [1, 2]) {
      const bindingId = sample.bindingIdOf(number)
      await tx.insertWorker(sample.workerRow(number, { bindingId }))
      await tx.insertCode(sample.codeRow(number, { bindingId }))
    }
  })
  const [gone, there] = [sample.bindingIdOf(1), sample.bindingIdOf(2)]
  t.strictSame(await store.read((tx) => tx.listGone(sample.at, 10)), [], 'before, not at')
  t.strictSame(await store.read((tx) => tx.listGone(sample.at + 1, 10)), [gone])
  t.strictSame(await store.read((tx) => tx.listGone(sample.at + 1, 0)), [])
  await store.write((tx) => tx.deleteBinding(gone))
  await store.read(async (tx) => {
    t.strictSame(
      (await tx.listBindings()).map(({ id }) => id),
      [there, sample.bindingIdOf(3)],
    )
    t.strictSame(
      (await tx.listWorkers({})).map(({ bindingId }) => bindingId),
      [there],
    )
    t.strictSame(
      (await tx.listCodes()).map(({ bindingId }) => bindingId),
      [there],
    )
  })
}

export async function elements(t: Test, store: Store): Promise<void> {
  const tally = { count: 30, next: 11, dropped: 0, ended: { succeeded: 0, failed: 0, cancelled: 0, expired: 0 } }
  const array = sample.jobRow(1, { law: { state: 'running', array: tally }, labels: { app: 'a' } })
  const id = (index: number) => elementId(array.id, index)
  const element = (index: number, state: JobState): JobRow => {
    const row = sample.jobRow(1, { labels: { app: 'a' }, ...sample.inState(state) })
    return { ...row, id: id(index), digest: array.digest }
  }
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertJob(array, sample.specOf(1))
    await tx.insertElement(element(2, 'running'))
    await tx.insertElement(element(10, 'queued'))
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getJob(array.id), array)
    t.strictSame(await tx.getJob(id(2)), element(2, 'running'))
    t.strictSame(await tx.getSpec(id(2)), sample.specOf(1), 'its bytes are those of its array')
    t.equal(await tx.getJob(id(3)), undefined)
    const ids = async (filter: Omit<JobFilter, 'limit'>) =>
      (await tx.listJobs({ ...filter, limit: 9 })).map((it) => it.id)
    t.strictSame(await ids({}), [array.id])
    t.strictSame(await ids({ state: 'running' }), [array.id])
    t.strictSame(await ids({ label: { key: 'app', value: 'a' } }), [array.id])
    t.strictSame(await ids({ array: array.id }), [id(2), id(10)], 'by the text of their ids')
    t.strictSame(await ids({ array: array.id, before: id(2) }), [id(10)])
    t.strictSame(await ids({ array: array.id, state: 'running' }), [id(2)])
    const queued = (await sample.allQueued(tx)).map(({ id, state, array }) => ({ id, state, array }))
    t.strictSame(queued, [
      { id: array.id, state: 'running', array: tally },
      { id: id(10), state: 'queued', array: undefined },
    ])
  })
  await store.write((tx) => tx.deleteJob(id(2)))
  t.strictSame(await store.read((tx) => tx.listJobs({ array: array.id, limit: 9 })), [element(10, 'queued')])
  t.strictSame(await store.read((tx) => tx.getJob(array.id)), array)
}

export async function stops(t: Test, store: Store): Promise<void> {
  const by = 'admin:key'
  const rows = [
    { target: sample.bindingIdOf(1), at: sample.at, by },
    { target: sample.projectIdOf(1), at: sample.at, by, note: 'a move' },
    { target: sample.workerIdOf(1), at: sample.at, by, note: 'a disk', until: sample.at + 1 },
  ] as const
  const [binding, project, worker] = rows
  await store.write(async (tx) => {
    for (const row of [...rows].reverse()) await tx.putStop(row)
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.listStops(), rows, 'by target')
    for (const row of rows) t.strictSame(await tx.getStop(row.target), row)
    t.equal(await tx.getStop(sample.workerIdOf(2)), undefined)
  })
  const replaced = { target: worker.target, at: sample.at + 5, by: 'admin:other' }
  await store.write(async (tx) => {
    await tx.putStop(replaced)
    await tx.deleteStop(project.target)
    await tx.deleteStop(project.target)
  })
  t.strictSame(await store.read((tx) => tx.listStops()), [binding, replaced], 'what is absent is taken away')
}
