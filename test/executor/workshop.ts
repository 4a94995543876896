// What the tests of this folder share: a plan with a private folder, an execution with its output, and looks at processes.
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Execution, Executor, Exit, Plan } from '../../src/executor/contract.ts'
import { SetupError } from '../../src/executor/contract.ts'
import type { ProcessRung } from '../../src/executor/kill.ts'
import { LAUNCHER_NAMES } from '../../src/executor/launcher-program.ts'
import { isAlive, readStat } from '../../src/executor/proc.ts'
import { createProcessExecutor, type ProcessExecutorParts } from '../../src/executor/process.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'

export const RUNGS: readonly ProcessRung[] = ['cgroup-v2', 'cgroup-v1', 'proc-scan', 'process-group']

/** Each rung, and those of cgroups with each launcher and without one. */
export const WAYS = RUNGS.flatMap((rung) => [
  ...(rung.startsWith('cgroup') ? LAUNCHER_NAMES.map((name) => ({ rung, launchers: [name] })) : []),
  { rung, launchers: [] },
])

export const fixture = (name: string) => fileURLToPath(new URL(`fixture/${name}`, import.meta.url))

let counter = 0

/** A fresh private folder below the system's own for temporary files; gone when the test ends. */
export function makeFolder(t: { teardown(run: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'pond-executor-'))
  chmodSync(folder, 0o700)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const folders = new WeakMap<Plan, string>()

export function makePlan(command: Plan['command'], more: Partial<Plan> = {}): Plan {
  counter += 1
  const id = `${process.pid}x${counter}`
  const plan: Plan = {
    claimId: `clm_${id}`,
    jobId: `job_${id}`,
    attempt: 1,
    command,
    env: {},
    ...more,
    async prepare(work) {
      folders.set(plan, dirname(work))
      await more.prepare?.(work)
    },
  }
  return plan
}

/** The folder in which a plan was started. */
export function folderOf(plan: Plan): string {
  return folders.get(plan) ?? 'the plan was not started'
}

export interface Seen {
  readonly execution: Execution
  readonly stdout: () => Buffer
  readonly stderr: () => Buffer
  readonly events: Readonly<Record<string, unknown>>[]
  /** Resolves once stdout holds `text`. */
  readonly says: (text: string) => Promise<void>
}

export async function watch(executor: Executor, plan: Plan): Promise<Seen> {
  const bytes = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  const events: Seen['events'] = []
  const waiters = new Set<() => void>()
  const stdout = () => Buffer.concat(bytes.stdout)
  const execution = await executor.start(plan, {
    output(stream, chunk) {
      bytes[stream].push(Buffer.from(chunk))
      for (const waiter of waiters) waiter()
    },
    event: (value) => void events.push(value),
  })
  const says = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!stdout().includes(text)) return
        waiters.delete(look)
        resolve()
      }
      waiters.add(look)
      look()
    })
  return { execution, stdout, stderr: () => Buffer.concat(bytes.stderr), events, says }
}

export async function run(executor: Executor, plan: Plan): Promise<Seen & { exit: Exit }> {
  const seen = await watch(executor, plan)
  const exit = await seen.execution.exited
  await seen.execution.release()
  return { ...seen, exit }
}

/** Each file of tests is a swarm with a home of its own. */
export const HOME = makeFolder(t)

const executors: Executor[] = []
/** Closed when the file ends. Without a sandbox unless one is asked for: the tests' own files are what jobs work on. */
export async function makeExecutor(parts: Partial<ProcessExecutorParts> = {}): Promise<Executor> {
  const executor = await createProcessExecutor({
    clock: systemClock,
    log: silentLog,
    home: HOME,
    sandbox: 'none',
    ...parts,
  })
  executors.push(executor)
  return executor
}
t.teardown(() => Promise.all(executors.map((executor) => executor.close())))

/** The executor on this rung, or the refusal of a machine that does not have it. */
export async function onRung(
  rung: ProcessRung,
  parts: Partial<ProcessExecutorParts> = {},
): Promise<Executor | SetupError> {
  try {
    return await makeExecutor({ rung, ...parts })
  } catch (error) {
    if (error instanceof SetupError) return error
    throw error
  }
}

export function lives(pid: number): boolean {
  const stat = readStat(pid)
  return stat !== undefined && isAlive(stat)
}

/** File name → the pid written in it. */
export function pidsIn(folder: string): Record<string, number> {
  const names = existsSync(folder) ? readdirSync(folder) : []
  return Object.fromEntries(names.map((name) => [name, Number(readFileSync(join(folder, name), 'utf8'))]))
}
