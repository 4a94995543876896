// A lock that is waited for: it comes as soon as it is free, and not for ever.
import { join } from 'node:path'
import t from 'tap'
import { LockedError, systemDisk } from '../../src/system/disk.ts'
import { lockSoon } from '../../src/system/lock.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

/** A disk whose lock others hold for so many tries. */
function heldFor(tries: number) {
  let asked = 0
  const lock = async (path: string) => {
    asked += 1
    if (asked <= tries) throw new LockedError(path, 1)
    return async () => {}
  }
  return { ...systemDisk, lock, asked: () => asked }
}

t.test('it comes when the other is done', async (t) => {
  const clock = createVirtualClock()
  const disk = heldFor(3)
  const locked = lockSoon(disk, '/x', clock)
  await clock.advance(30)
  t.type(await locked, 'function')
  t.equal(disk.asked(), 4)
})

t.test('it is given up after 2 s, and what is no lock at once', async (t) => {
  const clock = createVirtualClock()
  const given = t.rejects(lockSoon(heldFor(1000), '/x', clock), LockedError)
  await clock.advance(2000)
  await given
  await t.rejects(lockSoon(systemDisk, join(t.testdir(), 'nowhere', 'lock'), clock), { code: 'ENOENT' })
})
