// The sandboxes of this machine: who a job is, what it gets and gives back, and what stands between. What a thief gets: test/system/isolation.test.ts.
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { enclose, foldersToHide } from '../../src/executor/bubblewrap.ts'
import { type Executor, SetupError } from '../../src/executor/contract.ts'
import { closeInherited } from '../../src/executor/inherited.ts'
import type { LauncherName } from '../../src/executor/launcher-program.ts'
import type { ProcessExecutorParts } from '../../src/executor/process.ts'
import { openPlace, openUids } from '../../src/executor/uid.ts'
import { systemClock } from '../../src/system/clock.ts'
import { folderOf, HOME, lives, makeExecutor, makeFolder, makePlan, run, watch } from './workshop.ts'

const isRoot = process.getuid?.() === 0
const place = mkdtempSync(join(tmpdir(), 'pond-place-'))
chmodSync(place, 0o711)
t.teardown(() => rmSync(place, { recursive: true, force: true }))

async function tryToMake(parts: Partial<ProcessExecutorParts>): Promise<Executor | string> {
  try {
    return await makeExecutor({ place, ...parts })
  } catch (error) {
    if (error instanceof SetupError) return error.message
    throw error
  }
}

const launchers: readonly (readonly LauncherName[])[] = [['python3'], ['perl'], []]
const ways = [
  ...launchers.map((names) => [`uid with ${names[0] ?? 'no launcher'}`, { sandbox: 'uid', launchers: names }] as const),
  ['bubblewrap', { sandbox: 'bubblewrap' }] as const,
]
const held = new Map<string, Executor>()
const refused: string[] = []
for (const [way, parts] of ways) {
  const executor = await tryToMake(parts)
  if (typeof executor === 'string') refused.push(`${way}: ${executor}`)
  else held.set(way, executor)
}

t.test('root has users, others may have bubblewrap', async (t) => {
  for (const why of refused) t.comment(why)
  t.equal(held.has('uid with no launcher'), isRoot)
})

for (const [way, executor] of held) {
  const { sandbox } = executor

  t.test(`${way}: input, output, result, code and signal`, async (t) => {
    const script = 'cat; echo err >&2; echo "[1]" >"$POND_RESULT"; echo \'{"a":1}\' >"$POND_EVENTS"; exit 7'
    const { stdout, stderr, events, exit } = await run(
      executor,
      makePlan(['sh', '-c', script], { input: Buffer.from('in') }),
    )
    t.equal(`${stdout()}${stderr()}`, 'inerr\n')
    t.match(exit, { cause: 'exit', rc: 7 })
    t.equal(`${exit.result}`, '[1]\n')
    t.strictSame(events, [{ a: 1 }])
    t.match((await run(executor, makePlan(['sh', '-c', 'kill -9 $$']))).exit, {
      cause: 'signal',
      rc: 137,
      signal: 'SIGKILL',
    })
  })

  t.test(
    `${way}: it has its folders, and what was put there is its own; others read nothing that it makes`,
    async (t) => {
      const prepare = (work: string) => {
        mkdirSync(join(work, 'in'), { mode: 0o700 })
        writeFileSync(join(work, 'in', 'file'), 'put there', { mode: 0o600 })
        symlinkSync('/etc', join(work, 'link'))
      }
      const script =
        'cat in/file; rm -r in link; touch made; stat -c " %a" made; touch "$HOME/a" "$TMPDIR/b" /tmp/pond-$$; rm /tmp/pond-$$'
      const { stdout, stderr } = await run(executor, makePlan(['sh', '-c', script], { prepare }))
      t.equal(`${stdout()}${stderr()}`, 'put there 600\n')
      t.equal(statSync('/etc').uid, 0, 'no link was followed')
    },
  )

  t.test(`${way}: it gains no rights, is in no group, and gets nothing of what swarm has open`, async (t) => {
    const plan = makePlan(['sh', '-c', 'grep -E "^(NoNewPrivs|CapEff)" /proc/self/status; id -G; id -u'])
    const [rights, capabilities, groups, user] = `${(await run(executor, plan)).stdout()}`
      .split('\n')
      .reverse()
      .slice(1)
      .reverse()
    t.equal(rights, 'CapEff:\t0000000000000000')
    t.equal(capabilities, 'NoNewPrivs:\t1')
    if (sandbox === 'uid') t.equal(groups, user)
  })

  t.test(`${way}: SIGTERM reaches the job and leaves it its time; a kill leaves nothing`, async (t) => {
    const polite = await watch(
      executor,
      makePlan(['sh', '-c', 'trap "echo asked; exit 3" TERM; echo ready; while :; do sleep 0.01; done']),
    )
    await polite.says('ready')
    polite.execution.terminate()
    t.match(await polite.execution.exited, { cause: 'exit', rc: 3 })
    t.match(`${polite.stdout()}`, /asked/)
    const script = 'setsid sh -c "setsid env -i sleep 1000 & echo \\$!; exec env -i sleep 1000" & sleep 1000'
    const stubborn = await watch(executor, makePlan(['sh', '-c', script]))
    await stubborn.says('\n')
    await stubborn.execution.kill()
    await stubborn.execution.exited
    t.notOk(lives(stubborn.execution.trace.pid))
    for (const one of [polite, stubborn]) await one.execution.release()
  })

  t.test(`${way}: a result that belongs to somebody else is not read`, { skip: sandbox !== 'uid' }, async (t) => {
    const plan = makePlan(['sh', '-c', 'echo ready; read go <"$HOME/go"; exit 0'])
    const { execution, says } = await watch(executor, plan)
    await says('ready')
    writeFileSync(join(folderOf(plan), 'result'), '"of root"')
    writeFileSync(join(folderOf(plan), 'events'), '{"of":"root"}\n')
    await execution.kill()
    const { result, resultProblem } = await execution.exited
    t.equal(result, undefined)
    t.equal(resultProblem, 'the result does not belong to the job')
    await execution.release()
    t.notOk(existsSync(folderOf(plan)))
  })

  t.test(`${way}: without a network, or not at all`, async (t) => {
    const plan = makePlan(['sh', '-c', 'tail -n +3 /proc/net/dev | grep -vc "^ *lo:"'], { network: 'none' })
    if (sandbox === 'bubblewrap') t.equal(`${(await run(executor, plan)).stdout()}`, '0\n')
    else await t.rejects(run(executor, plan), { name: 'SetupError', message: /network/ })
  })
}

t.test('each job is another user, and a box is another’s before it is used again', { skip: !isRoot }, async (t) => {
  const executor = await makeExecutor({ place, sandbox: 'uid', home: `${HOME}, users` })
  const seen = new Map<string, Set<string>>()
  for (let jobs = 0; jobs < 30; jobs += 1) {
    const plan = makePlan(['sh', '-c', 'id -u; stat -c %u .. . ../home'])
    const { stdout } = await run(executor, plan)
    const [user = '', ...owners] = `${stdout()}`.trim().split('\n')
    t.strictSame(owners, [user, user, user])
    seen.set(user, new Set([folderOf(plan)]))
    await new Promise<void>((resolve) => void systemClock.after(10, resolve))
  }
  t.equal(seen.size, 30)
  await executor.close()
})

t.test('a box that a former life left tells whose processes to end', { skip: !isRoot }, async (t) => {
  const home = `${HOME}, former`
  const former = await makeExecutor({ place, sandbox: 'uid', home })
  const { execution, says } = await watch(former, makePlan(['sh', '-c', 'echo ready; exec env -i sleep 1000']))
  await says('ready')
  const [root = ''] = readdirSync(place).filter((name) => name.endsWith('boxes'))
  t.ok(root)
  const box = boxOf(execution.trace.pid)
  const renamed = join(dirname(box), 'pond-of-a-former-life')
  mkdirSync(renamed)
  const { uid } = statSync(box)
  lchownSync(renamed, uid, uid)
  const next = await makeExecutor({ place, sandbox: 'uid', home })
  t.equal(await next.sweep([]), 1)
  await execution.exited
  t.notOk(existsSync(renamed))
  await execution.release()
})

/** The folder that the process stands in is `work` of its box. */
const boxOf = (pid: number) => dirname(readlinkSync(`/proc/${pid}/cwd`))

t.test('what was not asked for is what holds; what was asked for holds or is refused', async (t) => {
  const found = await makeExecutor({ place, sandbox: undefined as never })
  t.equal(found.sandbox === 'none', found.whyUnsandboxed !== undefined)
  if (isRoot) t.equal(found.sandbox, 'uid')
  const other = await tryToMake({ sandbox: isRoot ? 'bubblewrap' : 'uid' })
  t.match(other, isRoot ? /root gives each job a user/ : /only root/)
})

t.test('a place that others could change, or jobs not pass, is none', { skip: !isRoot }, async (t) => {
  const folder = makeFolder(t)
  t.throws(() => openPlace(join(folder, 'boxes')), { message: /other users may not pass/ })
  chmodSync(folder, 0o777)
  t.throws(() => openPlace(join(folder, 'boxes')), { message: /others than root may write/ })
  chmodSync(folder, 0o711)
  symlinkSync('/tmp', join(folder, 'link'))
  t.throws(() => openPlace(join(folder, 'link')), { message: /is not a folder/ })
  mkdirSync(join(folder, 'of another'), 0o755)
  lchownSync(join(folder, 'of another'), 1, 1)
  t.throws(() => openPlace(join(folder, 'of another')), { message: /does not belong to root/ })
  t.throws(() => openPlace(join(folder, 'not', 'there')), { message: /cannot use/ })
  t.equal(openPlace(join(folder, 'boxes')), join(folder, 'boxes'))
  t.equal(statSync(join(folder, 'boxes')).mode & 0o777, 0o711)
})

t.test('no number is given twice, by swarms that share a place and over their restarts', async (t) => {
  const shared = makeFolder(t)
  const open = () => openUids({ place: shared, clock: systemClock })
  const [one, other] = await Promise.all([open(), open()])
  const given = new Set<number>()
  const count = 3000
  for (let turn = 0; turn < count; turn += 1) for (const uids of [one, other]) given.add(uids.next())
  const later = await open()
  for (let turn = 0; turn < count; turn += 1) given.add(later.next())
  t.equal(given.size, 3 * count)
  for (const uid of given) if (uid < 0x7000_0000 || uid >= 0x7f00_0000) t.fail(`${uid}`)
  writeFileSync(join(shared, 'uids'), 'x')
  await t.rejects(open(), { message: /is damaged/ })
})

t.test('what bubblewrap is told: homes are hidden before the box is shown', async (t) => {
  const hidden = foldersToHide(['/', '/nowhere', '/etc', '/etc'])
  t.notOk(hidden.includes('/') || hidden.includes('/nowhere'))
  t.equal(hidden.filter((path) => path === '/etc').length, 1)
  const box = { folder: '/home/me/boxes/1', work: '/home/me/boxes/1/work', tmp: '/home/me/boxes/1/tmp' }
  const words = enclose({ file: 'bwrap', flags: ['--flag'], hidden: ['/home'] }, box, {
    network: 'none',
    devices: ['/dev/dri'],
  }).join(' ')
  t.match(words, /^--flag --unshare-net --ro-bind \/ \/ .*--tmpfs \/home .*--bind \/home\/me\/boxes\/1 /)
  t.notMatch(
    enclose({ file: 'bwrap', flags: [], hidden: [] }, box, { network: 'host', devices: [] }).join(' '),
    /unshare-net/,
  )
})

t.test('a program with a channel to its parent keeps its descriptors', async (t) => {
  const channel = Object.getOwnPropertyDescriptor(process, 'channel')
  Object.defineProperty(process, 'channel', { value: {}, configurable: true })
  t.teardown(() => channel && Object.defineProperty(process, 'channel', channel))
  t.doesNotThrow(closeInherited)
})
