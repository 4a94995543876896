// What a simulated job does: a program as data in its command, and the processes of one machine that run it on the virtual clock.
import { createHash } from 'node:crypto'
import { type Executor, type Plan, SetupError, type Watch } from '../../src/executor/contract.ts'
import type { Gpu } from '../../src/protocol/field.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'
import { createFakeExecutor, type FakeProcess } from '../harness/fake-executor.ts'
import { type Box, makeBox } from './box.ts'
import { lookInto } from './bundle.ts'
import type { Place } from './place.ts'
import { REDACTED, SECRET_NAME } from './secret.ts'

export interface Program {
  /** Names the job, so that a stored one is known again. */
  readonly name: string
  readonly writes: readonly { readonly afterMs: number; readonly to: 'stdout' | 'stderr'; readonly bytes: number }[]
  readonly events: number
  /** Sizes of the files that it leaves when it ends by itself. */
  readonly files?: readonly number[]
  readonly endsAfterMs: number
  readonly rc: number
  /** What it leaves as its result, if anything. */
  readonly result?: string
  /** It prints its secret. */
  readonly leaks?: true
  /** It cannot be started. */
  readonly broken?: true
  /** It takes no notice of SIGTERM. */
  readonly stubborn?: true
}

export const commandOf = (program: Program) => ['simulated', JSON.stringify(program)] as const
export const programOf = (command: readonly string[]) => JSON.parse(command[1] ?? '{}') as Program

/** One process, as the machine that ran it knows it. */
export interface Run {
  readonly plan: Plan
  readonly program: Program
  readonly host: string
  readonly stdout: Buffer[]
  readonly stderr: Buffer[]
  /** In its folder, when it started. */
  readonly found?: Buffer
  /** Its folder, where it needs one. */
  readonly box?: Box
  /** How it ended; `undefined` while it runs. */
  exit?: { readonly cause: 'exit' | 'signal'; readonly rc: number }
  /** Its swarm died before it did. */
  orphaned: boolean
}

export interface Machine {
  readonly runs: readonly Run[]
  /** An executor for one life of swarm; the processes outlive it. */
  executor(alive: () => boolean): Executor
  /** Swarm died: its processes go on, but nobody hears them. */
  orphan(): void
  /** Every process is gone. */
  powerCut(): void
}

export interface MachineParts {
  readonly clock: Clock
  readonly random: Random
  readonly host: string
  readonly gpus: readonly Gpu[]
  readonly started: (run: Run) => void
  /** Its tree lives now. */
  readonly began: (run: Run) => void
  readonly note: (event: string, facts: Readonly<Record<string, unknown>>) => void
}

interface Living {
  readonly run: Run
  readonly process: FakeProcess
}

export function createMachine(parts: MachineParts): Machine {
  const { clock, random, note } = parts
  const fake = createFakeExecutor()
  fake.gpus = parts.gpus
  const living = new Set<Living>()
  const runs: Run[] = []
  const ready = new WeakMap<Plan, Run>()

  function end(it: Living, exit: NonNullable<Run['exit']>): void {
    if (!living.delete(it)) return
    const { result } = it.run.program
    if (exit.cause === 'exit') it.run.box?.leave(filesOf({ ...it.run, exit }))
    it.run.exit = exit
    note('ended', { claim: it.run.plan.claimId, ...exit })
    it.process.exit({ ...exit, ...(exit.cause === 'exit' && result && { result: Buffer.from(result) }) })
  }

  fake.onStart = (process) => {
    const run = ready.get(process.plan)
    if (!run) return
    const it = { run, process }
    living.add(it)
    runs.push(run)
    parts.began(run)
    void act(parts, it, (exit) => end(it, exit))
  }
  fake.onTerminate = (process) => {
    const it = [...living].find((one) => one.process === process)
    if (!it || it.run.program.stubborn) return
    clock.after(random.number() * 3000, () => end(it, { cause: 'signal', rc: 143 }))
  }

  async function start(plan: Plan, watch: Watch, alive: () => boolean) {
    const run = await makeReady(parts, plan, alive)
    parts.started(run)
    // Several may start in one turn.
    const own = { ...plan, confirm: async () => {} }
    ready.set(own, run)
    const execution = await fake.start(own, watch)
    return {
      ...execution,
      work: run.box?.work ?? execution.work,
      release: async () => run.box?.remove(),
      async kill() {
        for (const it of living) if (it.run === run) end(it, { cause: 'signal', rc: 137 })
      },
    }
  }

  return {
    runs,
    executor: (alive) => ({
      ...fake,
      start: (plan, watch) => start(plan, watch, alive),
      async sweep(traces) {
        const claims = new Set<string>(traces.map((trace) => trace.claimId))
        const left = [...living].filter(({ run }) => claims.has(run.plan.claimId))
        for (const it of left) end(it, { cause: 'signal', rc: 137 })
        return left.length
      },
    }),
    orphan() {
      for (const { run } of living) run.orphaned = true
    },
    powerCut() {
      for (const { run } of living) run.orphaned = true
      for (const it of living) end(it, { cause: 'signal', rc: 137 })
    },
  }
}

/** All that comes before the process. Nothing comes between the answer to `confirm` and the start, as with a real one. */
async function makeReady({ clock, random, host }: MachineParts, plan: Plan, alive: () => boolean): Promise<Run> {
  const whileAlive = async <T>(work: Promise<T>): Promise<T> => {
    const made = await work
    return alive() ? made : await new Promise<never>(() => {})
  }
  const program = programOf(plan.command)
  await whileAlive(sleep(clock, random.number() * 20))
  if (program.broken) throw new SetupError('there is no such program')
  const box = plan.prepare || program.files ? makeBox() : undefined
  const prepared = await whileAlive(prepare(plan, box))
  await whileAlive(plan.confirm?.() ?? Promise.resolve())
  return { plan, program, host, stdout: [], stderr: [], orphaned: false, ...(box && { box }), ...prepared }
}

async function prepare(plan: Plan, box: Box | undefined): Promise<Pick<Run, 'found'>> {
  if (!box || !plan.prepare) return {}
  try {
    await plan.prepare(box.work)
    return { found: lookInto(box.work) }
  } catch (error) {
    box.remove()
    throw error
  }
}

/** What it left, by path. */
export function filesOf({ plan, program, exit }: Run): Map<string, Buffer> {
  const sizes = exit?.cause === 'exit' ? (program.files ?? []) : []
  return new Map(sizes.map((size, index) => [`out/${index}`, contentOf(`${plan.claimId} out/${index}`, size)]))
}

async function act(
  { clock }: MachineParts,
  { run, process }: Living,
  end: (exit: NonNullable<Run['exit']>) => void,
): Promise<void> {
  const { program, plan } = run
  for (let count = 0; count < program.events; count++) process.event({ type: 'progress', count })
  for (const [index, { afterMs, to, bytes }] of program.writes.entries()) {
    await sleep(clock, afterMs)
    if (run.exit) return
    const secret = program.leaks ? Buffer.from(plan.env[SECRET_NAME] ?? '') : Buffer.alloc(0)
    const content = Buffer.concat([contentOf(`${plan.claimId} ${index}`, bytes), secret])
    run[to].push(content)
    await process.write(to, content)
    if (run.exit) return
  }
  await sleep(clock, program.endsAfterMs)
  end({ cause: 'exit', rc: program.rc })
}

/** What leaves its machine of what it wrote. */
export function saidBy({ secret, isSecret }: Place, run: Run, name: 'stdout' | 'stderr'): Buffer {
  const written = Buffer.concat(run[name])
  return isSecret(written) ? Buffer.from(written.toString('latin1').replaceAll(secret, REDACTED), 'latin1') : written
}

/** Bytes that no other write of any process has. */
function contentOf(name: string, length: number): Buffer {
  const block = createHash('sha256').update(name).digest()
  const content = Buffer.alloc(length, block)
  for (let at = 0; at + 4 <= length; at += 1024) content.writeUInt32LE(at, at)
  return content
}
