// The kill ladder with real processes: on every rung this machine has, what is promised to die is dead.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test as Tap } from 'tap'
import type { Executor, Trace } from '../../src/executor/contract.ts'
import { SetupError } from '../../src/executor/contract.ts'
import type { ProcessRung } from '../../src/executor/kill.ts'
import type { LauncherName } from '../../src/executor/launcher-program.ts'
import {
  fixture,
  HOME,
  lives,
  makeExecutor,
  makeFolder,
  makePlan,
  onRung,
  pidsIn,
  run,
  WAYS,
  watch,
} from './workshop.ts'

/** Who of leave-behind.sh each rung reaches for certain. */
const REACH: Readonly<Record<ProcessRung, readonly string[]>> = {
  'cgroup-v2': ['child', 'session', 'bare'],
  'cgroup-v1': ['child', 'session', 'bare'],
  'proc-scan': ['child', 'session'],
  'process-group': ['child'],
}

/** A sweep goes by names and traces alone, so this one cleans up after every rung. */
const sweeper = await makeExecutor({ rung: 'process-group' })
/** Of another home on the same machine. */
const stranger = await makeExecutor({ home: `${HOME}, another`, rung: 'process-group' })
const launchersOf = new Map<Executor, readonly LauncherName[]>()

/** Runs `body` on each rung; a machine without one must have said which. */
function onEachRung(name: string, body: (t: Tap, executor: Executor, folder: string) => Promise<void>): void {
  t.test(name, async (t) => {
    for (const { rung, launchers } of WAYS) {
      const executor = await onRung(rung, { launchers })
      if (executor instanceof SetupError) {
        t.match(executor.message, `does not offer the rung ${rung}`)
        t.not(rung, 'process-group', 'a group can always be signalled')
        continue
      }
      t.equal(executor.rung, rung)
      launchersOf.set(executor, launchers)
      await t.test([rung, ...launchers].join(' with '), async (t) => await body(t, executor, makeFolder(t)))
    }
  })
}

function checkSurvivors(t: Tap, rung: string, pids: Record<string, number>): void {
  t.same(Object.keys(pids).sort(), ['bare', 'child', 'session'])
  const promised = REACH[rung as ProcessRung]
  for (const [name, pid] of Object.entries(pids)) {
    if (promised.includes(name)) t.notOk(lives(pid), `${name} is dead`)
    else if (lives(pid)) process.kill(pid, 'SIGKILL')
  }
}

onEachRung('what the first process left behind dies with its end', async (t, executor, folder) => {
  const pids = join(folder, 'pids')
  mkdirSync(pids)
  const { exit, execution } = await run(executor, makePlan([fixture('leave-behind.sh'), pids, 'exit']))
  t.match(exit, { cause: 'exit', rc: 3 })
  checkSurvivors(t, executor.rung, pidsIn(pids))
  for (const cgroup of execution.trace.cgroups) t.same(strangersIn(cgroup), [], 'nobody of it stands in its cgroup')
})

onEachRung('kill() resolves when the whole tree is dead, deaf to SIGTERM or not', async (t, executor, folder) => {
  const pids = join(folder, 'pids')
  mkdirSync(pids)
  const { execution, says } = await watch(executor, makePlan([fixture('leave-behind.sh'), pids, 'stay']))
  await says('ready')
  await Promise.all([execution.kill(), execution.kill()])
  t.notOk(lives(execution.trace.pid))
  checkSurvivors(t, executor.rung, pidsIn(pids))
  t.match(await execution.exited, { cause: 'signal', rc: 137, signal: 'SIGKILL' })
  await execution.kill()
  execution.terminate()
})

onEachRung('a kill or a SIGTERM at the very start finds the process', async (t, executor) => {
  for (let tries = 0; tries < 5; tries += 1) {
    const { execution } = await watch(executor, makePlan(['sleep', '1000']))
    await execution.kill()
    t.notOk(lives(execution.trace.pid))
    t.match(await execution.exited, { signal: 'SIGKILL' })
    const polite = await watch(executor, makePlan(['sleep', '1000']))
    polite.execution.terminate()
    t.match(await polite.execution.exited, { signal: 'SIGTERM' })
  }
})

onEachRung('terminate() is heard, and need not be obeyed', async (t, executor) => {
  const { execution, says } = await watch(executor, makePlan([fixture('stubborn.sh')]))
  await says('ready')
  execution.terminate()
  await says('no')
  t.ok(lives(execution.trace.pid))
  await execution.kill()
  t.match(await execution.exited, { cause: 'signal', signal: 'SIGKILL' })
})

onEachRung('terminate() ends a stopped process that obeys', async (t, executor) => {
  const { execution, says } = await watch(executor, makePlan(['sh', '-c', 'echo ready; kill -STOP $$']))
  await says('ready')
  execution.terminate()
  t.match(await execution.exited, { cause: 'signal', rc: 143, signal: 'SIGTERM' })
})

onEachRung('a storm of forks ends', async (t, executor, folder) => {
  const list = join(folder, 'pids')
  const plan = makePlan([fixture('storm.sh'), list, '200'])
  const { execution, says } = await watch(executor, plan)
  const whole = executor.rung !== 'process-group'
  await says(whole ? 'half' : 'ready')
  await execution.kill()
  await execution.exited
  if (whole) t.same(readPids(list).filter(lives), [])
  else t.ok((await sweeper.sweep([execution.trace])) > 100, 'what the group could not reach is left')
  t.same(readPids(list).filter(lives), [])
})

onEachRung('a grandchild that holds the pipes open does not hold the exit', async (t, executor) => {
  const { exit, stdout } = await run(executor, makePlan([fixture('hold-pipe.sh')]))
  t.match(exit, { cause: 'exit', rc: 0 })
  t.equal(stdout().toString(), 'over\n')
})

onEachRung('usage is counted where a cgroup counts and sampled elsewhere', async (t, executor) => {
  const burn = 'while (process.cpuUsage().user < 3e5) for (let i = 0; i < 1e7; i += 1);'
  const spin = `const hold = Buffer.alloc(5e7, 1); ${burn} hold.length`
  const { exit } = await run(executor, makePlan([process.execPath, '-e', spin]))
  t.ok(exit.usage.max_rss_bytes > 5e7, `memory ${exit.usage.max_rss_bytes}`)
  t.ok(exit.usage.cpu_ms > 0 && exit.usage.wall_ms > 0, `cpu ${exit.usage.cpu_ms} ms`)
  if (!exit.usage.sampled) t.ok(exit.usage.cpu_ms >= 300, 'a counted figure misses nothing')
  if (!executor.rung.startsWith('cgroup')) t.ok(exit.usage.sampled)
})

onEachRung('a restarted swarm kills the tree of the former one by its trace', async (t, executor, folder) => {
  const pids = join(folder, 'pids')
  mkdirSync(pids)
  const plan = makePlan([fixture('leave-behind.sh'), pids, 'stay'])
  const trace = await startAndDie(plan, executor)
  t.ok(lives(trace.pid), 'the tree outlives a swarm that was killed')
  const other = { ...trace, startTime: trace.startTime.replace(/\d+$/, '1'), jobId: 'job_other' }
  t.equal(await stranger.sweep([{ ...other, startTime: `other-boot:${trace.startTime.split(':')[1]}` }]), 0)
  t.equal(await stranger.sweep([{ ...other, startTime: '' }]), 0)
  t.equal(await stranger.sweep([other]), 0, 'neither the pid alone nor a cgroup of another home proves anything')
  t.ok(lives(trace.pid))
  t.ok((await sweeper.sweep([trace])) >= 3)
  t.notOk(lives(trace.pid))
  const rung = executor.rung === 'process-group' ? 'proc-scan' : executor.rung
  checkSurvivors(t, rung, pidsIn(pids))
  t.equal(await sweeper.sweep([trace]), 0, 'sweeping twice is harmless')
  for (const cgroup of trace.cgroups) t.notOk(existsSync(cgroup))
})

onEachRung('a tree whose start nobody wrote down is found by its claim', async (t, executor, folder) => {
  const pids = join(folder, 'pids')
  mkdirSync(pids)
  const trace = await startAndDie(makePlan([fixture('leave-behind.sh'), pids, 'stay']), executor)
  const unwritten = { ...trace, pid: 0, startTime: '', cgroups: [] }
  const another = { ...unwritten, claimId: 'clm_other', jobId: 'job_other' }
  t.equal(await stranger.sweep([another]), 0, 'another claim of another home finds nothing')
  t.ok(lives(trace.pid))
  t.ok((await sweeper.sweep([unwritten])) >= 3)
  t.notOk(lives(trace.pid))
  checkSurvivors(t, executor.rung === 'process-group' ? 'proc-scan' : executor.rung, pidsIn(pids))
  for (const cgroup of trace.cgroups) t.notOk(existsSync(cgroup))
})

t.test('a sweep leaves alone what runs now, and what is not of its home', async (t) => {
  const executor = await makeExecutor()
  const { execution } = await watch(executor, makePlan(['sleep', '1000']))
  const [boot] = execution.trace.startTime.split(':')
  const forged: Trace = { ...execution.trace, jobId: 'job_other', pid: 1, startTime: `${boot}:999999999999` }
  t.equal(await executor.sweep([forged]), 0)
  t.equal(await stranger.sweep([forged]), 0)
  t.ok(lives(execution.trace.pid))
  await execution.kill()
  await execution.exited
})

t.test('without cgroups the best rung is the scan of /proc, where there is one', async (t) => {
  const cgroupRoot = makeFolder(t)
  const executor = await makeExecutor({ cgroupRoot })
  t.equal(executor.rung, existsSync('/proc/self/environ') ? 'proc-scan' : 'process-group')
  await t.rejects(makeExecutor({ cgroupRoot, rung: 'cgroup-v2' }), SetupError)
})

/** Starts `plan` in a swarm of its own, waits for the tree's first words and kills that swarm outright. */
async function startAndDie(plan: object, executor: Executor): Promise<Trace> {
  const parts = { home: HOME, rung: executor.rung, launchers: launchersOf.get(executor) }
  const args = ['--import=tsx', fixture('former-swarm.ts'), JSON.stringify(plan), JSON.stringify(parts)]
  const swarm = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const died = new Promise((resolve) => swarm.on('exit', resolve))
  for await (const line of createInterface(swarm.stdout)) {
    swarm.kill('SIGKILL')
    await died
    return JSON.parse(line)
  }
  throw new Error('the former swarm said nothing')
}

/** All but the launcher of a berth. */
function strangersIn(cgroup: string): string[] {
  if (!existsSync(cgroup)) return []
  const pids = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)
  return pids.filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') !== 'swarm launcher\n')
}

function readPids(list: string): number[] {
  const text = existsSync(list) ? readFileSync(list, 'utf8') : ''
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)
}
