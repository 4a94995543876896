// A device that fails one fsync and then works again: what the store must not believe, and what it may live through. The fault is injected by strace.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { openSqliteStore } from '../../server/store/sqlite.ts'
import * as sample from '../contract/store-row.ts'

interface Injection {
  readonly nth: number
  /** Only syncs of this file count. */
  readonly path?: string
}

/** More than two copies of the WAL. */
const WRITES = 5000

/** A process writes to a fresh store until that fails or it wrote enough. Its lines are the numbers it was told are safe, and what else befell it. */
async function runWriter(folder: string, { nth, path }: Injection) {
  const [file, trace, out] = [`${folder}/pond.db`, `${folder}/trace`, `${folder}/out`]
  const fixture = new URL('../server/store/fixture/store-writer.ts', import.meta.url).pathname
  const calls = 'fsync,fdatasync'
  const only = path === undefined ? [] : ['-P', path]
  const words = ['-f', '-qq', '-o', trace, '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO:when=${nth}`]
  const argv = [...words, ...only, process.execPath, '--import=tsx', fixture, file, String(WRITES)]
  const output = openSync(out, 'w')
  const child = spawn('strace', argv, { stdio: ['ignore', output, output] })
  const [code] = await once(child, 'exit')
  closeSync(output)
  const [lines = [], calling = []] = [out, trace].map((name) => readFileSync(name, 'utf8').trim().split('\n'))
  return { file, code, lines, syncs: calling.filter((line) => /f(data)?sync\(/.test(line)) }
}

/** The next life has all that was told. */
async function keepsAll(t: Test, file: string, lines: readonly string[]): Promise<void> {
  const store = openSqliteStore({ file, events: { fatal: (error) => t.fail('the store is well', { found: error }) } })
  const kept = new Set((await store.read((tx) => tx.listAudit(1_000_000))).map(({ id }) => id))
  await store.close()
  const told = lines.filter((line) => /^[0-9]+$/.test(line)).map(Number)
  t.ok(told.length > 0, `${told.length} told, ${kept.size} kept`)
  t.strictSame(
    told.filter((number) => !kept.has(sample.auditRow(number).id)),
    [],
  )
}

t.test('a commit: fatal once, no retry, nothing told is lost', async (t) => {
  // Past the fsyncs that make a new file, and before the first copy of the WAL: each one is a commit.
  const { file, code, lines, syncs } = await runWriter(t.testdir(), { nth: 60 })
  const injected = syncs.findIndex((line) => line.includes('(INJECTED)'))
  t.ok(injected >= 0, 'the fault fired')
  t.strictSame(syncs.slice(injected + 1), [], 'nothing is synced after it')
  t.equal(code, 70)
  t.equal(lines.filter((line) => line === 'fatal').length, 1)
  t.equal(lines.filter((line) => line === 'StoreFailing').length, 8, 'every waiting writer was told')
  t.equal(lines.at(-1), 'then StoreFailing', 'a later write is refused')
  await keepsAll(t, file, lines)
})

t.test('the copy of the WAL into the file: the store lives on, and nothing told is lost', async (t) => {
  const folder = t.testdir()
  // The first makes the file; each later one is the end of a copy.
  const { file, lines, syncs } = await runWriter(folder, { nth: 2, path: `${folder}/pond.db` })
  t.match(syncs[1], /\(INJECTED\)/, 'the fault fired')
  t.ok(syncs.length > 2, 'a later copy went well')
  t.equal(lines.filter((line) => /^[0-9]+$/.test(line)).length, WRITES)
  await keepsAll(t, file, lines)
})

t.test('the folder of a new WAL: the store does not open', async (t) => {
  const folder = t.testdir()
  const { code, lines } = await runWriter(folder, { nth: 2, path: folder })
  t.equal(code, 1)
  t.match(lines.join('\n'), `the names in ${folder} could not be made durable`)
})
