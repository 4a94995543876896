// The real disk: private modes, replacement that is never half, appends, and a lock that only the living hold.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemDisk as disk, isNoRoom, LockedError } from '../../src/system/disk.ts'

const folder = await mkdtemp(join(tmpdir(), 'swarm-disk-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const at = (...names: string[]) => join(folder, ...names)
const modeOf = async (path: string) => (await stat(path)).mode & 0o777

t.test('folders and files are private, and absence is no error', async (t) => {
  await disk.makeFolder(at('a', 'b'))
  await disk.makeFolder(at('a', 'b'))
  t.equal(await modeOf(at('a', 'b')), 0o700)
  await disk.replace(at('a', 'f'), 'one')
  await disk.replace(at('a', 'f'), Buffer.from('two'))
  t.equal(await modeOf(at('a', 'f')), 0o600)
  t.equal((await disk.read(at('a', 'f')))?.toString(), 'two')
  t.same(await disk.list(at('a')), ['b', 'f'], 'no draft stays')
  t.equal(await disk.read(at('none')), undefined)
  t.same(await disk.list(at('none')), [])
  await disk.remove(at('none'))
  await disk.remove(at('a'))
  t.same(await disk.list(at('a')), [])
  t.ok((await disk.freeBytes(folder)) > 0)
})

t.test('a file gets another name and another time, and tells them', async (t) => {
  await disk.replace(at('draft'), 'whole')
  await disk.replace(at('kept'), 'former')
  await disk.rename(at('draft'), at('kept'))
  await disk.touch(at('kept'), 1_700_000_000_000)
  t.same(await disk.stat(at('kept')), { sizeBytes: 5, changedAt: 1_700_000_000_000 })
  t.equal(await disk.stat(at('draft')), undefined)
  await disk.touch(at('draft'), 0)
  await t.rejects(disk.rename(at('draft'), at('kept')), { code: 'ENOENT' })
  await disk.remove(at('kept'))
})

t.test('a file grows at its end and is read anywhere', async (t) => {
  const file = await disk.open(at('grow'))
  await file.append(Buffer.from('one '), Buffer.alloc(0), Buffer.from('two '))
  await file.append(...Array.from({ length: 3000 }, () => Buffer.from('x')))
  await file.sync()
  t.equal(file.size(), 3008)
  const part = Buffer.alloc(5)
  t.equal(await file.read(4, part), 5)
  t.equal(part.toString(), 'two x')
  t.equal(await file.read(3005, part), 3, 'fewer at the end')
  await file.close()
  const again = await disk.open(at('grow'))
  t.equal(again.size(), 3008)
  t.equal(await modeOf(at('grow')), 0o600)
  await again.close()
})

t.test('what a full disk, a quota and a size limit say', (t) => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG']) t.ok(isNoRoom(Object.assign(new Error(code), { code })))
  t.notOk(isNoRoom(Object.assign(new Error('EIO'), { code: 'EIO' })))
  t.notOk(isNoRoom('ENOSPC'))
  t.end()
})

t.test('a lock is held once, names its holder, and is free after release', async (t) => {
  const release = await disk.lock(at('lock'))
  await t.rejects(disk.lock(at('lock')), new LockedError(at('lock'), process.pid))
  await release()
  await release()
  const again = await disk.lock(at('lock'))
  t.equal(await modeOf(at('lock')), 0o600)
  await again()
  t.same(await readdir(folder), ['grow'], 'and leaves nothing behind')
})

t.test('of many hands of one process that reach at once one has it, and the others hear that it is held', async (t) => {
  const reach = () => Promise.allSettled(Array.from({ length: 8 }, () => disk.lock(at('lock'))))
  for (let round = 0; round < 20; round++) {
    const hands = await reach()
    const [taken, ...more] = hands.flatMap((hand) => (hand.status === 'fulfilled' ? [hand.value] : []))
    t.equal(more.length, 0)
    t.ok(hands.every((hand) => hand.status === 'fulfilled' || hand.reason instanceof LockedError))
    await taken?.()
    const next = await disk.lock(at('lock'))
    await taken?.()
    await t.rejects(disk.lock(at('lock')), LockedError, 'who releases twice does not release another')
    await next()
  }
  t.same(await readdir(folder), ['grow'])
})

t.test('a lock of the dead is taken over: another pid, another start time, another boot', async (t) => {
  const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' })
  await once(child, 'exit')
  const release = await disk.lock(at('lock'))
  const mine = await readFile(at('lock'), 'utf8')
  await release()
  const [pid, start, boot] = mine.split(' ')
  for (const left of [
    `${child.pid} ${start} ${boot}`,
    `${pid} 1 ${boot}`,
    `${pid} ${start} other-boot`,
    '',
    'rubbish',
  ]) {
    await writeFile(at('lock'), left)
    const taken = await disk.lock(at('lock'))
    t.equal(await readFile(at('lock'), 'utf8'), mine, left)
    await taken()
  }
})

t.test('a living process keeps its lock against many that want it', async (t) => {
  const script = `
    import { systemDisk } from ${JSON.stringify(join(import.meta.dirname, '../../src/system/disk.ts'))}
    await systemDisk.lock(${JSON.stringify(at('lock'))})
    process.stdout.write('held')
    process.stdin.resume()
  `
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const tries = await Promise.allSettled(Array.from({ length: 5 }, () => disk.lock(at('lock'))))
  t.ok(tries.every((it) => it.status === 'rejected'))
  await t.rejects(disk.lock(at('lock')), { name: 'LockedError', pid: child.pid })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const release = await disk.lock(at('lock'))
  await release()
})

t.test('a content that cannot be put in place leaves no draft', async (t) => {
  const folder = t.testdir({ taken: {} })
  await t.rejects(disk.replace(join(folder, 'taken'), 'a file in place of a folder'), { code: /^E/ })
  t.strictSame(await disk.list(folder), ['taken'])
})
