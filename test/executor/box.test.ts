// Boxes: used again only where nothing in them was touched, however it was done.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Box, Boxes, sweepBoxes } from '../../src/executor/box.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'
import { makeFolder } from './workshop.ts'

function makeBoxes(root: string, life = 'pond-home-1-') {
  const clock = createVirtualClock()
  return { clock, boxes: new Boxes({ root, naming: { home: 'pond-home-', life }, clock, log: silentLog }) }
}

/** A box that has rested; the tick in which it was made is over for the kernel too. */
async function settled(root: string) {
  const { boxes, clock } = makeBoxes(root)
  await boxes.giveBack(boxes.take())
  await new Promise<void>((resolve) => void systemClock.after(20, resolve))
  await clock.advance(50)
  return { boxes, box: boxes.take() }
}

t.test('a box that nobody touched is used again', async (t) => {
  const { boxes, box } = await settled(join(makeFolder(t), 'boxes'))
  for (const path of [box.folder, box.work, box.home, box.tmp]) t.equal(statSync(path).mode & 0o777, 0o700)
  await boxes.giveBack(box)
  t.equal(boxes.take().folder, box.folder)
})

const touches: Readonly<Record<string, (box: Box) => void>> = {
  'a file left in work': ({ work }) => writeFileSync(join(work, 'a'), ''),
  'a file made and removed': ({ home }) => {
    writeFileSync(join(home, 'a'), '')
    unlinkSync(join(home, 'a'))
  },
  'a mode changed and changed back': ({ tmp }) => {
    chmodSync(tmp, 0o777)
    chmodSync(tmp, 0o700)
  },
  'a result': ({ folder }) => writeFileSync(join(folder, 'result'), '1'),
  'a folder exchanged for another': ({ work }) => {
    rmdirSync(work)
    mkdirSync(work, 0o700)
  },
  'a folder removed': ({ tmp }) => rmdirSync(tmp),
}
for (const [name, touch] of Object.entries(touches)) {
  t.test(`${name}: the box is not used again`, async (t) => {
    const { boxes, box } = await settled(join(makeFolder(t), 'boxes'))
    touch(box)
    await boxes.giveBack(box)
    t.notOk(existsSync(box.folder))
    t.not(boxes.take().folder, box.folder)
  })
}

t.test('a job leaves what a path cannot name, and what it may not write to: it goes', async (t) => {
  const { box, boxes } = await settled(join(makeFolder(t), 'boxes'))
  const script =
    'for (let i = 0; i < 20; i++) { fs.mkdirSync("d".repeat(250)); process.chdir("d".repeat(250)); fs.writeFileSync("f", "") }'
  execFileSync(process.execPath, ['-e', script], { cwd: box.work })
  mkdirSync(join(box.home, 'cache'))
  writeFileSync(join(box.home, 'cache', 'read-only'), '')
  chmodSync(join(box.home, 'cache'), 0o500)
  await boxes.giveBack(box)
  t.notOk(existsSync(box.folder))
})

t.test('a box that a job got in the moment it was made proves nothing, and goes', async (t) => {
  const { boxes } = makeBoxes(join(makeFolder(t), 'boxes'))
  const fresh = boxes.take()
  await boxes.giveBack(fresh)
  t.notOk(existsSync(fresh.folder))
})

t.test('as many rest as were used at a time, and none after the end', async (t) => {
  const root = join(makeFolder(t), 'boxes')
  const { boxes, clock } = makeBoxes(root)
  for (let rounds = 0; rounds < 20; rounds++) {
    const used = [1, 2, 3, 4].map(() => boxes.take())
    t.equal(new Set(used.map(({ folder }) => folder)).size, 4)
    await clock.advance(100)
    for (const box of used) await boxes.giveBack(box)
  }
  t.ok(readdirSync(root).length <= 5, `${readdirSync(root).length} rest`)
  await boxes.close()
  t.same(readdirSync(root), [])
})

t.test('what former lives left goes, what this one uses stays', async (t) => {
  const root = join(makeFolder(t), 'boxes')
  const former = makeBoxes(root, 'pond-home-0-').boxes.take()
  writeFileSync(join(former.work, 'left'), '')
  const { boxes } = makeBoxes(root)
  const own = boxes.take()
  await sweepBoxes(root, {
    naming: { home: 'pond-home-', life: 'pond-home-1-' },
    log: silentLog,
    clear: async () => {},
  })
  t.notOk(existsSync(former.folder))
  t.ok(existsSync(own.work))
})

t.test('a disk that takes no folder is said in plain words', async (t) => {
  const root = join(makeFolder(t), 'boxes')
  const { boxes } = makeBoxes(root)
  rmdirSync(root)
  t.throws(() => boxes.take(), { name: 'SetupError', message: /cannot make the job's folders: ENOENT/ })
})
