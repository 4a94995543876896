// Where the time of a job goes: the main thread of each side is sampled while jobs that do nothing run through it, and each sample goes to a component.
// Sampling costs too, so a rate without it stands beside; time in a system call counts as it passes on the wall, an fsync's among it.
import { type Child, compiled, cpuUs } from './child.ts'
import { type ComponentRow, leastTable, pathOf, pondTable, type Sorted, sortProfile, swarmTable } from './component.ts'
import { interleave, note, printFigure, type Sample } from './figure.ts'
import { startLeastServer, startLeastWorker } from './least-rig.ts'
import { startPond, startSwarm, submit } from './pond-rig.ts'
import type { Counted, Order, Sampled } from './profiler.ts'
import type { BenchOptions } from './run.ts'
import { drainOnce, type Sides, specOf, WARM_JOBS } from './throughput.ts'

const SLOTS = 64
const JOBS = 4000
/** Told to the person who waits: enough to see what to look at. */
const HOT_MOST = 40

const profiled = { profiled: true }

interface Part {
  readonly child: Child
  readonly table: readonly ComponentRow[]
  /** What is counted, by the name it is printed under: `file function`, below the folder of what was compiled. */
  readonly counted: Readonly<Record<string, RegExp>>
}

/** Both ends of one line of jobs, and what to look at in each. */
interface Line extends Sides {
  readonly ends: readonly [server: Part, worker: Part]
  stop(): Promise<void>
}

const order = { slots: SLOTS, executor: 'noop' } as const
const root = compiled.href

async function openPond(): Promise<Line> {
  const pond = await startPond(undefined, [], profiled)
  const swarm = await startSwarm(pond, order, profiled)
  return {
    server: pond,
    worker: swarm.child,
    submit: (commands) => submit(pond, { jobs: commands.map(specOf) }),
    ends: [
      {
        child: pond.child,
        table: pondTable,
        counted: {
          calls: /^server\/http\/answer\.js answer$/,
          polls: /^server\/service\/poll\.js poll$/,
          commits: /^server\/store\/sqlite\.js commit$/,
          works: /^server\/store\/group-commit\.js write$/,
          statements: /^server\/store\/sqlite\/connection\.js (run|insert|get|all)$/,
        },
      },
      {
        child: swarm.child,
        table: swarmTable,
        counted: { calls: /^src\/client\/client\.js tryOnce$/ },
      },
    ],
    async stop() {
      await swarm.stop()
      await pond.stop()
    },
  }
}

async function openLeast(): Promise<Line> {
  const server = await startLeastServer(profiled)
  const worker = await startLeastWorker(server, order, profiled)
  return {
    server,
    worker,
    submit: server.submit,
    ends: [
      { child: server.child, table: leastTable, counted: { calls: /^bench\/least-server\.js serve$/ } },
      { child: worker, table: leastTable, counted: { calls: /^bench\/least-worker\.js call$/ } },
    ],
    async stop() {
      await worker.stop()
      await server.stop()
    },
  }
}

/** Says the same to both ends, and answers what each tells. */
async function ask<T extends object>({ ends }: Line, order: Order): Promise<readonly T[]> {
  for (const { child } of ends) child.say({ profile: order })
  return await Promise.all(ends.map(({ child }) => child.hear<T>(order)))
}

interface Look {
  /** Microseconds a job by component, for the server and for the worker. */
  readonly samples: readonly Sample[]
  readonly sorted: readonly Sorted[]
}

/** Two drains: as it is, and sampled. */
async function look(line: Line): Promise<Look> {
  const pids = line.ends.map(({ child }) => child.pid)
  const cpuBegan = pids.map(cpuUs)
  const plain = await drainOnce(line, JOBS)
  const cpu = pids.map((pid, end) => (cpuUs(pid) - (cpuBegan[end] ?? 0)) / JOBS)
  await ask(line, 'sample')
  const sampled = await drainOnce(line, JOBS)
  const profiles = await ask<Sampled>(line, 'told samples')
  const sorted = profiles.map(({ profile }, end) => sortProfile(profile, line.ends[end]?.table ?? [], root))
  const samples = sorted.map(({ parts }, end) => {
    const each = Object.entries(parts).map(([name, us]) => [name, us / JOBS] as const)
    return {
      value: each.reduce((sum, [, us]) => sum + us, 0),
      extras: {
        ...Object.fromEntries(each),
        ...{ cpu_us: cpu[end] ?? 0, rate: plain.rate, sampled_rate: sampled.rate },
      },
    }
  })
  return { samples, sorted }
}

/** How often a job makes each end do what is counted. Only after all samples: code that was counted stays slow. */
async function count(line: Line): Promise<readonly Readonly<Record<string, number>>[]> {
  await ask(line, 'count')
  await drainOnce(line, JOBS)
  const told = await ask<Counted>(line, 'told counts')
  return line.ends.map(({ counted }, end) => {
    const times = Object.entries(counted).map(([name, of]) => [
      `${name}_per_job`,
      timesOf(told[end]?.counts ?? {}, of) / JOBS,
    ])
    return Object.fromEntries(times)
  })
}

function timesOf(counts: Counted['counts'], of: RegExp): number {
  return Object.entries(counts).reduce((sum, [name, count]) => sum + (of.test(pathOf(name, root)) ? count : 0), 0)
}

export async function budget({ runs }: BenchOptions): Promise<void> {
  const lines = { own: await openPond(), least: await openLeast() }
  for (const line of Object.values(lines)) await drainOnce(line, WARM_JOBS)
  const looks: { own: Look[]; least: Look[] } = { own: [], least: [] }
  const once = (side: keyof typeof looks) => async () => {
    const seen = await look(lines[side])
    looks[side].push(seen)
    return seen.samples[0] ?? { value: Number.NaN }
  }
  await interleave(runs, { own: once('own'), least: once('least') })
  const counts = { own: await count(lines.own), least: await count(lines.least) }
  await Promise.all(Object.values(lines).map((line) => line.stop()))
  for (const [end, side, against] of [
    [0, 'pond', 'least server'],
    [1, 'swarm', 'least worker'],
  ] as const) {
    tellHot(
      side,
      looks.own.map(({ sorted }) => sorted[end]?.hot ?? {}),
    )
    const of = (which: keyof typeof looks) =>
      looks[which].flatMap(({ samples: all }) => {
        const sample = all[end]
        return sample ? [{ ...sample, extras: { ...sample.extras, ...counts[which][end] } }] : []
      })
    printFigure({
      bench: 'budget',
      unit: 'us a job',
      facts: { side, slots: SLOTS },
      own: of('own'),
      against: { name: against, samples: of('least') },
    })
  }
}

/** Where to look first; a line a function is too much for a figure. */
function tellHot(side: string, runs: readonly Readonly<Record<string, number>>[]): void {
  const sums: Record<string, number> = {}
  for (const hot of runs) for (const [place, us] of Object.entries(hot)) sums[place] = (sums[place] ?? 0) + us
  const most = Object.entries(sums).sort(([, one], [, other]) => other - one)
  note(`${side}, microseconds a job by function:`)
  for (const [place, us] of most.slice(0, HOT_MOST))
    note(`  ${(us / runs.length / JOBS).toFixed(1).padStart(6)} ${place}`)
}
