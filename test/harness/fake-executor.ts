// An executor whose processes a test drives by hand: it writes their output, ends them, and sees the signals they get.
import { type Executor, type Exit, type Plan, SetupError, type Trace, type Watch } from '../../src/executor/contract.ts'
import type { Gpu, Sandbox } from '../../src/protocol/field.ts'

export interface FakeProcess {
  readonly plan: Plan
  readonly trace: Trace
  readonly signals: readonly ('TERM' | 'KILL')[]
  readonly ended: boolean
  /** What the Watch returned: back-pressure, if any. */
  write(channel: 'stdout' | 'stderr', text: string | Buffer): void | Promise<void>
  event(value: Readonly<Record<string, unknown>>): void
  exit(exit?: Partial<Exit>): void
}

export interface FakeExecutor extends Executor {
  sandbox: Sandbox
  gpus: readonly Gpu[]
  readonly processes: readonly FakeProcess[]
  readonly swept: readonly Trace[]
  /** The folder in which processes left what they made. */
  work: string
  /** What a process does with SIGTERM; by default it ends with 143. */
  onTerminate: (process: FakeProcess) => void
  /** What `start` rejects with, if anything. */
  refusal: string | undefined
  /** Awaited before a process starts, so that a test can make that take long. */
  gate: () => Promise<void> | undefined
  /** Runs when a process starts. */
  onStart: (process: FakeProcess) => void
  /** Awaited before the folders of a process are gone. */
  onRelease: () => Promise<void>
  /** Processes that each `sweep` finds. */
  left: number
}

const usage = { cpu_ms: 1, max_rss_bytes: 1024, wall_ms: 1, sampled: true }

export function createFakeExecutor(): FakeExecutor {
  const processes: FakeProcess[] = []
  const swept: Trace[] = []
  let pid = 100

  const executor: FakeExecutor = {
    name: 'fake',
    rung: 'proc-scan',
    sandbox: 'none',
    folder: '/boxes',
    gpus: [],
    processes,
    swept,
    refusal: undefined,
    work: '/nowhere',
    left: 0,
    gate: () => undefined,
    onStart() {},
    async onRelease() {},
    onTerminate: (process) => process.exit({ cause: 'signal', rc: 143, signal: 'SIGTERM' }),
    async start(plan: Plan, watch: Watch) {
      await executor.gate()
      await plan.confirm?.()
      if (executor.refusal !== undefined) throw new SetupError(executor.refusal)
      const { claimId, jobId, attempt } = plan
      const trace = { ...{ claimId, jobId, attempt }, pid: ++pid, startTime: `t${pid}`, cgroups: [] }
      const signals: ('TERM' | 'KILL')[] = []
      let ended = false
      let resolve: (exit: Exit) => void = () => {}
      const exited = new Promise<Exit>((done) => {
        resolve = done
      })
      const process: FakeProcess = {
        ...{ plan, trace, signals },
        get ended() {
          return ended
        },
        write: (channel, text) => watch.output(channel, Buffer.from(text)),
        event: watch.event,
        exit(exit = {}) {
          ended = true
          resolve({ cause: 'exit', rc: 0, usage, eventsSkipped: 0, ...exit })
        },
      }
      processes.push(process)
      executor.onStart(process)
      return {
        trace,
        work: executor.work,
        exited,
        terminate() {
          signals.push('TERM')
          executor.onTerminate(process)
        },
        async kill() {
          signals.push('KILL')
          process.exit({ cause: 'signal', rc: 137, signal: 'SIGKILL' })
        },
        release: () => executor.onRelease(),
      }
    },
    async sweep(traces) {
      swept.push(...traces)
      return executor.left
    },
    async close() {},
  }
  return executor
}
