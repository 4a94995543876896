// Berths with real launchers: what one job leaves to the next, which is nothing, and what becomes of a launcher that ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import t from 'tap'
import { Berth } from '../../src/executor/berth.ts'
import { CGROUP_ROOT, cgroupMembers, findHierarchies, findLeft, namingOf } from '../../src/executor/cgroup.ts'
import { type Executor, SetupError } from '../../src/executor/contract.ts'
import { parseLine } from '../../src/executor/launcher.ts'
import { LAUNCHER_NAMES } from '../../src/executor/launcher-program.ts'
import { readStat } from '../../src/executor/proc.ts'
import { systemClock } from '../../src/system/clock.ts'
import { until } from '../harness/process-rig.ts'
import { fixture, HOME, lives, makeExecutor, makePlan, onRung, run, watch } from './workshop.ts'

/** The launcher that a running job came from. */
function launcherOf(pid: number): number {
  const parent = readStat(pid)?.parent ?? 0
  if (readFileSync(`/proc/${parent}/comm`, 'utf8') !== 'swarm launcher\n') throw new Error(`${parent} is no launcher`)
  return parent
}

/** A launcher that is ready, and then does as `script` says, which closes stderr by its last exec. */
function spawnOrdered(script: string, length: number) {
  const child = spawn('sh', ['-c', `echo ready 5 6; ${script}`, 'sh', String(length)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  return Object.assign(child, {
    stdout: child.stdout as Readable,
    stderr: child.stderr as Readable,
    orders: child.stdio[3] as Duplex,
  })
}

const executors = new Map<string, Executor>()
for (const rung of ['cgroup-v2', 'cgroup-v1'] as const) {
  for (const name of LAUNCHER_NAMES) {
    const executor = await onRung(rung, { launchers: [name] })
    if (executor instanceof SetupError) t.match(executor.message, `does not offer the rung ${rung}`)
    else executors.set(`${rung} with ${name}`, executor)
  }
}

for (const [way, executor] of executors) {
  t.test(`${way}: one job after the other is born in the same berth`, async (t) => {
    const berths = new Set<string>()
    for (let jobs = 0; jobs < 20; jobs += 1) {
      const { execution, exit } = await run(executor, makePlan(['sh', '-c', 'exit 3']))
      t.match(exit, { cause: 'exit', rc: 3 })
      berths.add(execution.trace.cgroups.join())
    }
    t.ok(berths.size <= 3, `${berths.size} berths`)
  })

  t.test(`${way}: a job has a group of its own, three descriptors, and nothing of the launcher`, async (t) => {
    const script = `
      const { readdirSync, readFileSync, readlinkSync } = require('node:fs')
      const [, , , , group] = readFileSync('/proc/self/stat', 'utf8').split(' ')
      const before = new Set(['0', '1', '2'])
      const files = readdirSync('/proc/self/fd').filter((fd) => !before.has(fd)).map((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) } catch { return '' }
      })
      console.log(JSON.stringify({ own: Number(group) === process.pid, pipes: files.filter((it) => it.startsWith('pipe:')) }))`
    const plan = makePlan([
      'sh',
      '-c',
      'ls -l /proc/self/fd | grep -cE " -> (pipe|socket):"; exec "$@"',
      'sh',
      process.execPath,
      '-e',
      script,
    ])
    const { stdout } = await run(executor, plan)
    const [pipes, rest] = stdout().toString().split('\n')
    t.equal(pipes, '2')
    t.match(JSON.parse(rest ?? ''), { own: true })
  })

  t.test(
    `${way}: a job ignores no signal and blocks none, and a script without a first line is a shell's`,
    async (t) => {
      const { stdout } = await run(executor, makePlan(['grep', '-E', '^Sig(Ign|Blk)', '/proc/self/status']))
      const masks = [
        ...stdout()
          .toString()
          .matchAll(/\t([0-9a-f]+)$/gm),
      ].map(([, mask]) => BigInt(`0x${mask}`))
      // 32 and 33 are the C library's own, which ignores them in what it spawns.
      t.same(
        masks.map((mask) => mask & 0x7fffffffn),
        [0n, 0n],
      )
      const prepare = (work: string) => writeFileSync(join(work, 'script'), 'echo "$1 $GIVEN"', { mode: 0o755 })
      const script = await run(executor, makePlan(['./script', 'first'], { prepare, env: { GIVEN: 'second' } }))
      t.equal(script.stdout().toString(), 'first second\n')
    },
  )

  t.test(`${way}: the figures of a job are its own`, async (t) => {
    const hungry =
      'const hold = Buffer.alloc(1e8, 1); const end = Date.now() + 200; while (Date.now() < end); hold.length'
    const large = await run(executor, makePlan([process.execPath, '-e', hungry]))
    t.ok(large.exit.usage.max_rss_bytes > 1e8)
    t.ok(large.exit.usage.cpu_ms > 100)
    for (let jobs = 0; jobs < 3; jobs += 1) {
      const { exit } = await run(executor, makePlan(['true']))
      t.ok(exit.usage.max_rss_bytes < 3e7, `memory ${exit.usage.max_rss_bytes}`)
      t.ok(exit.usage.cpu_ms < 100, `cpu ${exit.usage.cpu_ms}`)
    }
  })

  t.test(`${way}: a job that kills its launcher ends killed, and the next one finds another`, async (t) => {
    const script = "trap 'kill -9 $PPID' TERM; echo ready; sleep 1000 & wait; sleep 1000"
    const { execution, says } = await watch(executor, makePlan(['sh', '-c', script]))
    await says('ready')
    execution.terminate()
    t.match(await execution.exited, { cause: 'signal', rc: 137, signal: 'SIGKILL' })
    t.notOk(lives(execution.trace.pid))
    t.match((await run(executor, makePlan(['sh', '-c', 'kill 0; sleep 1000']))).exit, { signal: 'SIGTERM' })
    t.match((await run(executor, makePlan(['true']))).exit, { cause: 'exit', rc: 0 })
  })

  t.test(`${way}: launchers that end with what their jobs left behind cost no other job its start`, async (t) => {
    const plan = () => makePlan(['sh', '-c', 'setsid sleep 100 >/dev/null 2>&1 </dev/null & echo "$$"'])
    for (let rounds = 0; rounds < 10; rounds += 1) {
      const all = await Promise.all(Array.from({ length: 4 }, () => run(executor, plan())))
      t.same(
        all.map(({ exit, stdout }) => [exit.rc, stdout().toString().split('\n').length]),
        Array(4).fill([0, 2]),
      )
    }
  })

  t.test(`${way}: a job whose output went with its launcher did not end well`, async (t) => {
    const { execution, stdout } = await watch(
      executor,
      makePlan(['sh', '-c', 'until test -e go; do :; done; echo lost']),
    )
    const { pid } = execution.trace
    const launcher = launcherOf(pid)
    // Without a turn of the loop, so that nothing is read meanwhile.
    writeFileSync(join(execution.work, 'go'), '')
    while (readStat(pid) || readStat(launcher)?.state !== 'S');
    process.kill(launcher, 'SIGKILL')
    while (lives(launcher));
    t.match(await execution.exited, { cause: 'signal', rc: 137, signal: 'SIGKILL' })
    t.equal(stdout().length, 0)
  })

  t.test(`${way}: a launcher that dies at rest is replaced`, async (t) => {
    const first = await watch(executor, makePlan(['sleep', '1000']))
    const launcher = launcherOf(first.execution.trace.pid)
    await first.execution.kill()
    await first.execution.exited
    if (readStat(launcher)) process.kill(launcher, 'SIGKILL')
    for (let jobs = 0; jobs < 5; jobs += 1) t.equal((await run(executor, makePlan(['true']))).exit.rc, 0)
  })

  t.test(`${way}: a program that the kernel refuses is said in its words`, async (t) => {
    const long = 'x'.repeat(200_000)
    await t.rejects(executor.start(makePlan(['true', long]), { output() {}, event() {} }), {
      name: 'SetupError',
      message: /cannot start .*true: Argument list too long/,
    })
    t.equal((await run(executor, makePlan(['true']))).exit.rc, 0)
  })

  t.test(`${way}: many at once, each with its own output and code`, async (t) => {
    const script = 'i=0; while [ $i -lt 200 ]; do echo "$1 $i"; i=$((i+1)); done; echo "$1" >&2; exit "$1"'
    const codes = Array.from({ length: 40 }, (_, index) => index)
    const ends = await Promise.all(
      codes.map((code) => run(executor, makePlan(['sh', '-c', script, 'sh', String(code)]))),
    )
    for (const [code, { exit, stdout, stderr }] of ends.entries()) {
      t.equal(exit.rc, code)
      t.equal(stderr().toString(), `${code}\n`)
      t.equal(stdout().toString(), codesOf(code))
    }
  })
}

const codesOf = (code: number) => Array.from({ length: 200 }, (_, index) => `${code} ${index}\n`).join('')

/** What a launcher does with its orders, from `ready` on; `$1` is how long the one order is. */
const ENDS = {
  'before any byte of it was read': { script: 'exec sleep 1000 2>&-', taken: false },
  'before the last byte of it was read': {
    script: 'head -c "$(($1 - 1))" <&3 >/dev/null; exec sleep 1000 2>&-',
    taken: false,
  },
  'behind the last byte of it': { script: 'head -c "$1" <&3 >/dev/null; exec sleep 1000 2>&-', taken: true },
}

for (const [when, { script, taken }] of Object.entries(ENDS)) {
  t.test(`a launcher that ends ${when} ${taken ? 'may have begun' : 'began nothing'}`, async (t) => {
    const order = Buffer.alloc(100_000, 'order')
    const child = spawnOrdered(script, order.length)
    const berth = new Berth(child, [{ duty: 'freezer', folder: '/nonexistent' }], systemClock)
    t.ok(await berth.prepare())
    const started = berth.start(order, async () => {})
    if (script.includes('head')) await once(child.stderr.resume(), 'end')
    child.kill('SIGKILL')
    const { ended } = (await started) ?? {}
    t.strictSame(await ended, taken ? { rc: 137, signal: 'SIGKILL' } : undefined)
    await berth.end()
  })
}

t.test('an order to a launcher whose end was only half heard began nothing', async (t) => {
  const child = spawnOrdered('sleep 1000 3>&- & echo "$!" >&2; exit', 0)
  const berth = new Berth(child, [{ duty: 'freezer', folder: '/nonexistent' }], systemClock)
  t.ok(await berth.prepare())
  const [keeper] = await once(child.stderr, 'data')
  await once(child.orders, 'close')
  t.equal(await berth.start(Buffer.from('order'), async () => {}), undefined)
  process.kill(Number(keeper), 'SIGKILL')
  await berth.end()
})

t.test('closed, it leaves no launcher and no cgroup', async (t) => {
  const executor = await makeExecutor({ home: `${HOME}, closed` })
  const { execution } = await run(executor, makePlan(['true']))
  await executor.close()
  for (const cgroup of execution.trace.cgroups) t.notOk(existsSync(cgroup))
})

t.test('launchers at rest keep no process alive, and end with it', async (t) => {
  const plan = makePlan(['true'])
  const home = `${HOME}, alone`
  const child = spawn(process.execPath, ['--import=tsx', fixture('lone-swarm.ts'), JSON.stringify(plan), home], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  t.strictSame(await once(child, 'exit'), [0, null])
  const left = () => findLeft(findHierarchies(CGROUP_ROOT), namingOf(home, 0), []).flatMap(cgroupMembers)
  await until('the launchers of a swarm that ended', () => left().length === 0)
  t.equal(await (await makeExecutor({ home })).sweep([]), 0)
})

t.test('what a launcher does not say is not heard', async (t) => {
  t.same(parseLine('ready 5 7'), { says: 'ready', pipes: [5, 7] })
  t.same(parseLine('failed No such file or directory'), { says: 'failed', reason: 'No such file or directory' })
  t.equal(parseLine('hello'), undefined)
})
