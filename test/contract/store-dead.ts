// Dead letters as every store finds them. Part of the suite in store.ts.
import type { Test } from 'tap'
import type { DeadFilter, DeadPage, Store } from '../../server/store/contract.ts'
import type { JobRow } from '../../server/store/row.ts'
import { elementId } from '../../src/protocol/id.ts'
import type { Cause, JobState } from '../../src/protocol/job.ts'
import * as sample from './store-row.ts'

const end = (state: JobState, at: number, cause: Cause = 'exit') => ({ law: { state, end: { cause, rc: 1, at } } })

const tally = { count: 9, from: 2, next: 9, dropped: 0, ended: { succeeded: 0, failed: 9, cancelled: 0, expired: 0 } }

async function fill(store: Store): Promise<(index: number) => JobRow['id']> {
  const array = sample.jobRow(7, {
    law: { state: 'failed', array: tally, end: { cause: 'exit', at: 70 } },
    labels: { app: 'a' },
  })
  const element = (index: number, at: number): JobRow => ({
    ...sample.jobRow(7, { labels: { app: 'a' }, ...end('failed', at) }),
    id: elementId(array.id, index),
    digest: array.digest,
  })
  const rows = [
    sample.jobRow(1, end('failed', 10)),
    sample.jobRow(2, { ...end('expired', 20, 'ttl'), labels: { app: 'b' } }),
    sample.jobRow(3, end('succeeded', 30)),
    sample.jobRow(4, end('cancelled', 30)),
    sample.jobRow(5, { ...end('failed', 40), replay: { by: sample.jobIdOf(8) } }),
    sample.jobRow(6, { ...end('failed', 50), replay: { dismissedAt: 51 } }),
    sample.jobRow(8, { ...end('failed', 60, 'oom'), replay: { of: sample.jobIdOf(5) } }),
    sample.jobRow(9, sample.inState('running')),
    sample.jobRow(10, { ...end('failed', 99), projectId: sample.projectIdOf(2) }),
  ]
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
    for (const [index, row] of rows.entries()) await tx.insertJob(row, sample.specOf(index))
    await tx.insertJob(array, sample.specOf(7))
    for (const [index, at] of [
      [2, 55],
      [10, 55],
    ] as const) {
      await tx.insertElement(element(index, at))
    }
  })
  return (index) => elementId(array.id, index)
}

export async function deadLetters(t: Test, store: Store): Promise<void> {
  const id = await fill(store)
  const of = { projectId: sample.projectIdOf(1), limit: 20, scan: 20 }
  const list = (more: Partial<DeadFilter> = {}): Promise<DeadPage> =>
    store.read((tx) => tx.listDead({ ...of, ...more }))
  const ids = async (more?: Partial<DeadFilter>) => (await list(more)).rows.map((row) => row.id)
  const [one, two, eight] = [1, 2, 8].map(sample.jobIdOf) as [JobRow['id'], JobRow['id'], JobRow['id']]
  t.strictSame(await ids(), [eight, id(2), id(10), two, one], 'latest first, and of one time by id')
  t.equal((await list()).next, undefined)
  t.strictSame(await ids({ cause: 'oom' }), [eight])
  t.strictSame(await ids({ label: { key: 'app', value: 'a' } }), [id(2), id(10)])
  t.strictSame(await ids({ label: { key: 'app', value: 'b' }, cause: 'ttl' }), [two])
  t.strictSame(await ids({ array: sample.jobIdOf(7) }), [id(2), id(10)])
  t.strictSame(await ids({ array: one }), [])
  const page = await list({ limit: 2 })
  t.strictSame(page.next, { at: 55, id: id(2) })
  t.strictSame(await ids({ before: { at: 55, id: id(2) } }), [id(10), two, one], 'behind the last')
  t.strictSame(await list({ scan: 1 }), { rows: [], next: { at: 70, id: sample.jobIdOf(7) } }, 'it looked at one')
  t.strictSame((await list({ scan: 2 })).next, { at: 60, id: eight })
  const array = await store.read((tx) => tx.getJob(sample.jobIdOf(7)))
  if (!array) throw new Error('the array is there')
  const short = { ...array, law: { ...array.law, array: { ...tally, next: 4, dropped: 5 } } }
  await store.write((tx) => tx.updateJob(short))
  t.strictSame(await ids(), [array.id, eight, id(2), id(10), two, one], 'an array stands for what never began')
  t.strictSame(await ids({ array: array.id }), [array.id, id(2), id(10)])
  await store.write((tx) => tx.updateJob({ ...short, replay: { dismissedAt: 7 } }))
  t.strictSame(await ids({ array: array.id }), [id(2), id(10)])
  const row = await store.read((tx) => tx.getJob(sample.jobIdOf(5)))
  t.strictSame(row?.replay, { by: eight })
  if (row) await store.write((tx) => tx.updateJob({ ...row, replay: { ...row.replay, dismissedAt: 7 } }))
  t.strictSame((await store.read((tx) => tx.getJob(sample.jobIdOf(5))))?.replay, { by: eight, dismissedAt: 7 })
}
