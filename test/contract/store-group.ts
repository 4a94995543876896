// The part of a store's contract that is about works: what a reader sees, what a neighbour's failure does, and what runs after the commit.
import type { Test } from 'tap'
import { type Store, StoreFailing, type WriteTx } from '../../server/store/contract.ts'
import type { FreshStore, OpenStore } from './store.ts'
import * as sample from './store-row.ts'

export function storeGroups(t: Test, fresh: FreshStore, open: OpenStore): void {
  t.test('a read never sees the uncommitted', (t) => isolation(t, fresh(t)))
  t.test('a read sees one moment', (t) => snapshot(t, fresh(t)))
  t.test('works run in order and see what came before', (t) => order(t, fresh(t)))
  t.test('a work that throws undoes only its own changes', (t) => poisoned(t, fresh(t)))
  t.test('a work that awaits something foreign is given up, and its neighbours are not', (t) => foreign(t, fresh(t)))
  t.test('afterCommit runs after the commit, in order, and never for a work that failed', (t) => effects(t, fresh(t)))
  t.test('what afterCommit throws is fatal, and the write stands', (t) => fatalEffect(t, open))
  t.test('a closed store has told every outcome, and refuses', (t) => closing(t, fresh(t)))
}

const names = (store: Store) => store.read(async (tx) => (await tx.listProjects()).map(({ name }) => name))
const insert = (number: number) => (tx: WriteTx) => tx.insertProject(sample.projectRow(number))

async function isolation(t: Test, store: Store): Promise<void> {
  let seen: Promise<readonly string[]> | undefined
  const write = store.write(async (tx) => {
    await insert(1)(tx)
    t.equal((await tx.listProjects()).length, 1, 'the work sees its own change')
    seen = names(store)
    await tx.listProjects()
  })
  await write
  t.strictSame(await seen, [], 'a read that began meanwhile does not')
  t.strictSame(await names(store), ['project 1'], 'a read after the write does')
}

async function snapshot(t: Test, store: Store): Promise<void> {
  let committed = false
  let read: Promise<readonly [number, number]> | undefined
  await store.write(async (tx) => {
    await insert(1)(tx)
    tx.afterCommit(() => {
      committed = true
    })
    read = store.read(async (tx) => {
      const before = await tx.listProjects()
      for (let turn = 0; turn < 10_000 && !committed; turn += 1) await tx.getProject(sample.projectIdOf(1))
      return [before.length, (await tx.listProjects()).length]
    })
  })
  t.ok(committed)
  t.strictSame(await read, [0, 0], 'a commit in its middle does not show')
}

async function order(t: Test, store: Store): Promise<void> {
  const counts = await Promise.all(
    Array.from({ length: 600 }, (_, index) =>
      store.write(async (tx) => {
        const { length } = await tx.listAudit(1000)
        await tx.insertAudit(sample.auditRow(index))
        return length
      }),
    ),
  )
  t.strictSame(
    counts,
    Array.from({ length: 600 }, (_, index) => index),
  )
}

async function poisoned(t: Test, store: Store): Promise<void> {
  for (const [turn, bad] of [0, 1, 2].entries()) {
    const base = turn * 10
    const wrong = new Error('a refusal')
    const works = [0, 1, 2].map((place) =>
      store.write(async (tx) => {
        await insert(base + place)(tx)
        if (place === bad) throw wrong
        return place
      }),
    )
    const outcomes = await Promise.allSettled(works)
    t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2)
    const outcome = outcomes[bad]
    t.equal(outcome?.status === 'rejected' && outcome.reason, wrong, 'it is thrown on as it is')
    const kept = [0, 1, 2].filter((place) => place !== bad).map((place) => `project ${base + place}`)
    t.strictSame((await names(store)).slice(-2), kept, `the one in place ${bad} is undone`)
  }
  const failedStatement = store.write(async (tx) => {
    await insert(50)(tx)
    await insert(50)(tx)
  })
  const sync = store.write(() => {
    throw new Error('at once')
  })
  const caught = store.write(async (tx) => {
    await insert(51)(tx)
    await insert(51)(tx).catch(() => {})
  })
  await t.rejects(failedStatement)
  await t.rejects(sync, { message: 'at once' })
  await caught
  t.strictSame((await names(store)).slice(-1), ['project 51'], 'a work may live with a statement that failed')
}

async function foreign(t: Test, store: Store): Promise<void> {
  let late: WriteTx | undefined
  const works = [
    store.write(insert(1)),
    store.write(async (tx) => {
      late = tx
      await insert(2)(tx)
      await new Promise(() => {})
    }),
    store.write(insert(3)),
  ]
  const outcomes = await Promise.allSettled(works)
  t.strictSame(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.strictSame(await names(store), ['project 1', 'project 3'])
  t.ok(late)
  if (late) await t.rejects(insert(4)(late), { message: /after its work had ended/ }, 'its tx is dead')
  await t.rejects(
    store.read(() => new Promise(() => {})),
    { message: /awaited something other/ },
  )
  t.strictSame(await names(store), ['project 1', 'project 3'], 'reads go on')
}

async function effects(t: Test, store: Store): Promise<void> {
  const told: string[] = []
  const work = (number: number, fails: boolean) =>
    store
      .write(async (tx) => {
        await insert(number)(tx)
        tx.afterCommit(() => told.push(`${number} first`))
        tx.afterCommit(() => told.push(`${number} second`))
        t.strictSame(told, [], 'nothing is applied before the commit')
        if (fails) throw new Error('a refusal')
      })
      .catch(() => {})
      .then(() => told.push(`${number} told`))
  await Promise.all([work(1, false), work(2, true), work(3, false)])
  t.strictSame(
    told,
    ['1 first', '1 second', '3 first', '3 second', ...told.slice(4)],
    'memory is whole before a caller goes on',
  )
  t.strictSame(told.slice(4).sort(), ['1 told', '2 told', '3 told'])
}

async function fatalEffect(t: Test, open: OpenStore): Promise<void> {
  const fatal: unknown[] = []
  const store = open(t, { fatal: (error) => fatal.push(error) })
  t.teardown(() => store.close())
  const wrong = new Error('memory and rows disagree')
  await store.write(async (tx) => {
    await insert(1)(tx)
    tx.afterCommit(() => {
      throw wrong
    })
  })
  t.strictSame(fatal, [wrong])
  t.strictSame(await names(store), ['project 1'])
}

async function closing(t: Test, store: Store): Promise<void> {
  const told: string[] = []
  const write = store.write(insert(1)).then(() => told.push('write'))
  const read = names(store).then(() => told.push('read'))
  const closed = store.close().then(() => told.push('closed'))
  await t.rejects(store.write(insert(2)), StoreFailing)
  await t.rejects(names(store), StoreFailing)
  await Promise.all([write, read, closed])
  t.equal(told.at(-1), 'closed')
  await store.close()
  t.pass('closing twice is closing once')
}
