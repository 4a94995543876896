// Berths with real launchers: what one job leaves to the next, which is nothing, and what becomes of a launcher that ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { type Executor, SetupError } from '../../src/executor/contract.ts'
import { parseLine } from '../../src/executor/launcher.ts'
import { LAUNCHER_NAMES } from '../../src/executor/launcher-program.ts'
import { readStat } from '../../src/executor/proc.ts'
import { fixture, HOME, lives, makeExecutor, makePlan, onRung, run, watch } from './workshop.ts'

/** The launcher that a running job came from. */
function launcherOf(pid: number): number {
  const parent = readStat(pid)?.parent ?? 0
  if (readFileSync(`/proc/${parent}/comm`, 'utf8') !== 'swarm launcher\n') throw new Error(`${parent} is no launcher`)
  return parent
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
      'ls -l /proc/self/fd | grep -c " -> pipe:"; exec "$@"',
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
  t.equal(await (await makeExecutor({ home })).sweep([]), 0)
})

t.test('what a launcher does not say is not heard', async (t) => {
  t.same(parseLine('ready 5 7'), { says: 'ready', pipes: [5, 7] })
  t.same(parseLine('failed No such file or directory'), { says: 'failed', reason: 'No such file or directory' })
  t.equal(parseLine('hello'), undefined)
})
