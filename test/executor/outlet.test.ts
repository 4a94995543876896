// The read end of a pipe of a launcher: opened only when it must be, tried again where there is no descriptor for it, given up where nobody holds it.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { pipeOutlet } from '../../src/executor/outlet.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const refusing = (code: string) => Object.assign(new Error(code), { code })

function makePipe(text: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'outlet-'))
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY)
  writeSync(writer, text)
  rmSync(folder, { recursive: true })
  t.teardown(() => closeSync(writer))
  return reader
}

t.test('where there is no descriptor for it now it is tried again, and nothing is lost', async (t) => {
  const clock = createVirtualClock()
  let tries = 0
  const failures: unknown[] = []
  let told: (text: string) => void = () => {}
  const read = new Promise<string>((resolve) => {
    told = resolve
  })
  const open = () => {
    tries++
    if (tries < 3) throw refusing('EMFILE')
    return makePipe('all of it')
  }
  const outlet = pipeOutlet({ open, quiet: () => false }, clock)
  const drained = outlet.drain({
    output: (bytes) => told(`${bytes}`),
    failed: (error) => void failures.push(error),
  })
  for (const [before, waitMs] of [10, 1000, 1000].entries()) {
    t.equal(tries, before)
    await clock.advance(waitMs)
  }
  t.equal(tries, 3)
  t.equal(await read, 'all of it')
  outlet.cut()
  await drained
  t.notOk(outlet.lost)
  t.equal(failures.length, 2, 'each failure was told')
})

t.test('where its launcher has ended it is over', async (t) => {
  for (const code of ['ENOENT', 'ESRCH', 'ENXIO']) {
    const open = () => {
      throw refusing(code)
    }
    const outlet = pipeOutlet({ open, quiet: () => false }, systemClock)
    const drained = outlet.drain({ output() {}, failed: (error) => t.fail(`${error}`) })
    outlet.finish()
    await drained
    t.ok(outlet.lost, code)
  }
})

t.test('of a pipe in which nothing is nothing is lost', async (t) => {
  const open = () => {
    throw new Error('it is opened')
  }
  const outlet = pipeOutlet({ open, quiet: () => true }, systemClock)
  const drained = outlet.drain({ output() {}, failed: (error) => t.fail(`${error}`) })
  outlet.finish()
  await drained
  t.notOk(outlet.lost)
})
