// A device that fails one fsync and then works again: the store must not believe it. The fault is injected by strace into a real process.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t from 'tap'
import { openSqliteStore } from '../../server/store/sqlite.ts'
import * as sample from '../contract/store-row.ts'

/** Past the fsyncs that make a new file, and before the first copy of the WAL: each one is a commit. */
const nth = 60

t.test('a failed fsync ends the store: fatal once, no retry, nothing told is lost', async (t) => {
  const folder = t.testdir()
  const [file, trace] = [`${folder}/pond.db`, `${folder}/trace`]
  const fixture = new URL('../server/store/fixture/store-writer.ts', import.meta.url).pathname
  const calls = 'fsync,fdatasync'
  const words = ['-f', '-qq', '-o', trace, '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO:when=${nth}`]
  const argv = [...words, process.execPath, '--import=tsx', fixture, file]
  const child = spawn('strace', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) lines.push(line)
  if (child.exitCode === null) await once(child, 'exit')

  const syncs = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => /f(data)?sync\(/.test(line))
  const injected = syncs.findIndex((line) => line.includes('(INJECTED)'))
  t.ok(injected >= 0, 'the fault fired')
  t.strictSame(syncs.slice(injected + 1), [], 'nothing is synced after it')
  t.equal(child.exitCode, 70)
  t.equal(lines.filter((line) => line === 'fatal').length, 1)
  t.equal(lines.filter((line) => line === 'StoreFailing').length, 8, 'every waiting writer was told')
  t.equal(lines.at(-1), 'then StoreFailing', 'a later write is refused')

  const store = openSqliteStore({ file, events: { fatal: (error) => t.fail('the store is well', { found: error }) } })
  const kept = new Set((await store.read((tx) => tx.listAudit(1_000_000))).map(({ id }) => id))
  await store.close()
  const told = lines.filter((line) => /^[0-9]+$/.test(line)).map(Number)
  t.ok(told.length > 0, `${told.length} told, ${kept.size} kept`)
  t.strictSame(
    told.filter((number) => !kept.has(sample.auditRow(number).id)),
    [],
  )
})
