// The SQLite adapter: the contract, then its pragmas and modes, its plans, a full disk, a killed writer, and files of other versions.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import type { StoreEvents } from '../../../server/store/contract.ts'
import { type Handle, type OpenHandle, openHandle } from '../../../server/store/sqlite/driver.ts'
import { openSqliteStore } from '../../../server/store/sqlite.ts'
import { jobStates } from '../../../src/protocol/job.ts'
import type { Clock } from '../../../src/system/clock.ts'
import { storeSuite } from '../../contract/store.ts'
import * as sample from '../../contract/store-row.ts'

/** It stands still, so that no group ends early. */
const clock: Clock = { now: () => 0, monotonic: () => 0, after: () => () => {} }

t.test('contract', async (t) => {
  storeSuite(t, (t, events) => openSqliteStore({ file: `${t.testdir()}/pond.db`, events, clock }))
  t.test('with one reader', async (t) => {
    storeSuite(t, (t, events) => openSqliteStore({ file: `${t.testdir()}/pond.db`, events, clock, readers: 1 }))
  })
})

/** A store whose connections the test can look at; the first one writes. */
function openWatched(t: Test, file = `${t.testdir()}/pond.db`) {
  const handles: Handle[] = []
  const texts = new Set<string>()
  const driver: OpenHandle = (path, options) => {
    const handle = openHandle(path, options)
    handles.push(handle)
    return {
      exec: (sql) => handle.exec(sql),
      prepare: (sql) => {
        texts.add(sql)
        return handle.prepare(sql)
      },
      get isTransaction() {
        return handle.isTransaction
      },
      close: () => handle.close(),
    }
  }
  const events: StoreEvents = { fatal: (error) => t.fail('the store is well', { found: error }) }
  const store = openSqliteStore({ file, events, driver, clock })
  t.teardown(() => store.close())
  const [writer] = handles
  if (!writer) throw new Error('no connection was opened')
  return { store, file, handles, writer, texts }
}

t.test('a store that was closed is whole in its one file', async (t) => {
  const { store, file } = openWatched(t)
  await store.write((tx) => tx.insertProject(sample.projectRow(1)))
  t.ok(statSync(`${file}-wal`).size > 0)
  await store.close()
  t.equal(statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0, 0)
  copyFileSync(file, `${file}.copy`)
  const copy = openWatched(t, `${file}.copy`)
  t.strictSame(await copy.store.read((tx) => tx.listProjects()), [sample.projectRow(1)])
})

const pragma = (handle: Handle, name: string) => Object.values(handle.prepare(`pragma ${name}`).get() ?? {})[0]

t.test('every connection syncs fully, waits for a lock, and keeps to the foreign keys', async (t) => {
  const { handles } = openWatched(t)
  t.equal(handles.length, 3)
  for (const handle of handles) {
    const names = ['synchronous', 'journal_mode', 'busy_timeout', 'foreign_keys', 'temp_store']
    t.strictSame(
      names.map((name) => pragma(handle, name)),
      [2, 'wal', 5000, 1, 2],
    )
  }
})

t.test('its files are for their owner only', async (t) => {
  const file = `${t.testdir({ 'pond.db': '' })}/pond.db`
  const { store } = openWatched(t, file)
  await store.write((tx) => tx.insertProject(sample.projectRow(1)))
  for (const end of ['', '-wal', '-shm']) t.equal(statSync(file + end).mode & 0o777, 0o600, end)
})

t.test('no statement on jobs or claims reads a whole table, nor sorts one', async (t) => {
  const { store, writer, texts } = openWatched(t)
  const labels = { app: 'demo' }
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertJob(sample.jobRow(1, { labels }), sample.specOf(1))
    await tx.updateJob(sample.jobRow(1, { labels }))
    await tx.insertClaim(sample.claimRow(1))
    await tx.insertAttestation(sample.attestationRow('att_1'))
    await tx.updateClaim(sample.claimRow(1, { attestationId: 'att_1' }))
    await sample.allQueued(tx)
    await tx.listLiveClaims()
    await tx.listClaims(sample.jobIdOf(1))
    await tx.listTransitions(sample.jobIdOf(1))
    await tx.listTelemetry(sample.jobIdOf(1), 1)
    await tx.countTelemetry(sample.claimIdOf(1))
    await tx.getResult(sample.claimIdOf(1))
    await tx.listEnded(0, 1)
    await tx.listEnds({ projectId: sample.projectIdOf(1), since: 0, limit: 1 })
    await tx.sumUse(sample.projectIdOf(1), 0)
    for (const state of [undefined, ...jobStates]) {
      const filter = { ...(state && { state }), limit: 1 }
      await tx.listJobs(filter)
      await tx.listJobs({ ...filter, label: { key: 'app', value: 'demo' } })
    }
    await tx.deleteIdempotency(0)
    await tx.listAudit(1)
    await tx.deleteJob(sample.jobIdOf(1))
  })
  const plans = [...texts].flatMap((sql) => {
    if (!/^\s*(select|update|delete|insert)/.test(sql)) return []
    const steps = writer.prepare(`explain query plan ${sql}`).all() as { readonly detail: string }[]
    return steps.map(({ detail }) => detail)
  })
  t.ok(plans.length > 15, `${plans.length} steps`)
  t.strictSame(
    plans
      .filter((step) => /SCAN|TEMP B-TREE/.test(step))
      .filter((step) => !/^SCAN (projects|(s|named) VIRTUAL TABLE)/.test(step)),
    [],
  )
})

t.test('a full disk: what has no room fails as full, alone or with its group, and the store goes on', async (t) => {
  const { store, writer } = openWatched(t)
  await store.write((tx) => tx.insertProject(sample.projectRow(1)))
  const room = Number(pragma(writer, 'max_page_count'))
  writer.exec(`pragma max_page_count = ${Number(pragma(writer, 'page_count')) + 4}`)
  const applied: number[] = []
  const audit = (number: number, note: string) =>
    store.write(async (tx) => {
      await tx.insertAudit(sample.auditRow(number, { note }))
      tx.afterCommit(() => applied.push(number))
    })
  const large = 'x'.repeat(100_000)
  const job = () => store.write((tx) => tx.insertJob(sample.jobRow(1), Buffer.from(large)))
  const isFull = { status: 'rejected', reason: { name: 'StoreFull', cause: { errcode: 13 } } }

  const outcomes = await Promise.allSettled([audit(1, 'small'), audit(2, large), audit(3, 'small')])
  t.match(
    outcomes,
    [isFull, isFull, { status: 'fulfilled' }],
    'the neighbour before goes with it, the one after has its turn',
  )
  t.match(await Promise.allSettled([job(), audit(4, 'small')]), [isFull, { status: 'fulfilled' }])
  t.strictSame(applied, [3, 4])
  t.strictSame((await store.read((tx) => tx.listAudit(10))).length, 2)
  t.equal(await store.read((tx) => tx.getJob(sample.jobIdOf(1))), undefined)

  writer.exec(`pragma max_page_count = ${room}`)
  await Promise.all([audit(5, large), job()])
  t.strictSame(applied, [3, 4, 5])
})

t.test('what was told is there after kill -9', async (t) => {
  const file = `${t.testdir()}/pond.db`
  const fixture = new URL('fixture/store-writer.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import=tsx', fixture, file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const told: number[] = []
  for await (const line of createInterface(child.stdout)) {
    told.push(Number(line))
    if (told.length === 500) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  t.equal(child.signalCode, 'SIGKILL')
  const { store, writer } = openWatched(t, file)
  const kept = new Set((await store.read((tx) => tx.listAudit(1_000_000))).map(({ id }) => id))
  const lost = told.filter((number) => !kept.has(sample.auditRow(number).id))
  t.ok(told.length >= 500, `${told.length} told, ${kept.size} kept`)
  t.strictSame(lost, [])
  t.equal(pragma(writer, 'integrity_check'), 'ok')
})

t.test('what was written lately is not read again, and what was undone is', async (t) => {
  const { store, writer } = openWatched(t)
  const [small, large] = [sample.jobRow(1), sample.jobRow(2)]
  const claim = sample.claimRow(1)
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertJob(small, sample.specOf(1))
    await tx.insertJob(large, Buffer.alloc(5000, '2'))
    await tx.insertClaim(claim)
  })
  // Nobody else writes in earnest, so this shows where a row comes from.
  writer.exec('update jobs set priority = 1; update claims set attempt = 9')
  const seen = () =>
    store.write(async (tx) => {
      const rows = [await tx.getJob(small.id), await tx.getJob(large.id)]
      return [
        ...rows.map((row) => row?.priority),
        (await tx.getClaim(claim.id))?.attempt,
        (await tx.getSpec(small.id))?.length,
      ]
    })
  const length = sample.specOf(1).length
  t.strictSame(await seen(), [5, 1, 1, length], 'a large one is not kept')
  await store.write((tx) => tx.updateJob({ ...small, priority: 5, version: 2 }))
  t.equal((await store.write((tx) => tx.getJob(small.id)))?.version, 2)
  const fail = () =>
    store.write(async (tx) => {
      await tx.updateJob({ ...small, version: 3 })
      throw new Error('no')
    })
  const [, failed, after] = await Promise.allSettled([seen(), fail(), seen()])
  t.match(failed, { status: 'rejected' })
  t.strictSame(
    after?.status === 'fulfilled' && after.value,
    [1, 1, 9, length],
    'it is read again, in the same commit too',
  )
  t.equal((await store.write((tx) => tx.getJob(small.id)))?.version, 2)
  await store.write((tx) => tx.deleteJob(small.id))
  t.strictSame(await seen(), [undefined, 1, undefined, undefined])
})

t.test('the WAL does not grow without end', async (t) => {
  const { store, file } = openWatched(t)
  for (let number = 0; number < 40; number += 1) {
    const at = 1000 * number
    await store.write(async (tx) => {
      for (let index = 0; index < 1000; index += 1)
        await tx.insertAudit(sample.auditRow(at + index, { note: 'x'.repeat(500) }))
    })
  }
  t.ok(statSync(file).size > 20e6, 'it was copied into the file')
  t.ok(statSync(`${file}-wal`).size < 10e6)
})

t.test('a file of a later version is refused and left alone; an earlier one is opened again as it was', async (t) => {
  const file = `${t.testdir()}/pond.db`
  const first = openWatched(t, file)
  await first.store.write((tx) => tx.insertProject(sample.projectRow(1)))
  await first.store.close()
  const second = openWatched(t, file)
  t.strictSame(await second.store.read((tx) => tx.listProjects()), [sample.projectRow(1)])
  second.writer.exec('pragma user_version = 1000')
  await second.store.close()
  t.throws(() => openWatched(t, file), { message: /start a later pond/ })
  const handle = openHandle(file, { readOnly: true })
  t.equal(pragma(handle, 'user_version'), 1000)
  handle.close()
})
