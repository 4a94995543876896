// A mixed fleet and what it is asked to do, from one seed: machines of several kinds, and jobs whose needs and durations are like those of a real pool.
import type { Gpu } from '../../../src/protocol/field.ts'
import type { Requires } from '../../../src/protocol/job.ts'
import type { Random } from '../../../src/system/random.ts'

/** Machines of one kind suit the same jobs, but for their size. */
export type MachineKind = 'cpu' | 'gpu24' | 'gpu80' | 'arm'

export interface FleetMachine {
  readonly name: string
  readonly kind: MachineKind
  readonly arch: 'x64' | 'arm64'
  readonly slots: number
  readonly cpus: number
  readonly memoryBytes: number
  readonly gpus: readonly Gpu[]
}

export interface FleetJob {
  readonly index: number
  /** For the figures. */
  readonly kind: JobKind
  readonly requires: Requires
  readonly durationMs: number
  readonly arrivesMs: number
}

export type JobKind = keyof typeof templates

const GIB = 2 ** 30
const vram = { gpu24: 24 * GIB, gpu80: 80 * GIB } as const
const modelOf = { gpu24: 'NVIDIA L4', gpu80: 'NVIDIA A100-SXM4-80GB' } as const

const cpuSizes = [8, 16, 16, 32, 32, 32, 64, 64, 96, 128] as const
const armSizes = [16, 32, 64] as const
const gpuCounts = { gpu24: [1, 2, 4, 4, 8, 8], gpu80: [1, 4, 4, 8, 8, 8] } as const

/** 40 without GPUs, 12 with 1 to 8 of two models, 12 arm64. */
export function makeFleet(): readonly FleetMachine[] {
  const sized = (kind: 'cpu' | 'arm', cpus: number, index: number): FleetMachine => ({
    ...{ name: `${kind}-${index}`, kind, cpus, gpus: [] },
    ...{ arch: kind === 'arm' ? 'arm64' : 'x64', slots: cpus, memoryBytes: cpus * (index % 3 === 2 ? 8 : 4) * GIB },
  })
  const withGpus = (kind: 'gpu24' | 'gpu80') =>
    gpuCounts[kind].map((count, index): FleetMachine => {
      const name = `${kind}-${index}`
      const gpus = Array.from({ length: count }, (_, at) => ({
        ...{ uuid: `GPU-${name}-${at}`, model: modelOf[kind], vram_bytes: vram[kind] },
      }))
      return { name, kind, arch: 'x64', slots: 8 * count, cpus: 8 * count, memoryBytes: count * 64 * GIB, gpus }
    })
  return [
    ...Array.from({ length: 40 }, (_, index) => sized('cpu', cpuSizes[index % cpuSizes.length] ?? 8, index)),
    ...withGpus('gpu24'),
    ...withGpus('gpu80'),
    ...Array.from({ length: 12 }, (_, index) => sized('arm', armSizes[index % armSizes.length] ?? 16, index)),
  ]
}

interface Template {
  /** Of a thousand jobs. */
  readonly share: number
  /** In seconds; drawn between them, most of them near the first. */
  readonly lasts: readonly [number, number]
  readonly requires: (dice: Random) => Requires
}

const x64 = { arch: 'x64' } as const

const templates = {
  'small, anywhere': { share: 100, lasts: [5, 120], requires: (dice) => ({ cpus: pick(dice, [0.25, 0.5, 1]) }) },
  small: {
    share: 540,
    lasts: [10, 300],
    requires: (dice) => ({ ...x64, cpus: pick(dice, [0.5, 1, 1, 2]), memory_bytes: pick(dice, [1, 2, 4]) * GIB }),
  },
  large: {
    share: 150,
    lasts: [30, 1200],
    requires: (dice) => ({ ...x64, cpus: pick(dice, [4, 8, 16]), memory_bytes: pick(dice, [8, 16, 32]) * GIB }),
  },
  memory: {
    share: 25,
    lasts: [60, 900],
    requires: (dice) => ({ ...x64, cpus: pick(dice, [1, 2]), memory_bytes: pick(dice, [64, 128]) * GIB }),
  },
  'one machine': { share: 1, lasts: [300, 1200], requires: () => ({ ...x64, cpus: 64, memory_bytes: 128 * GIB }) },
  arm: {
    share: 150,
    lasts: [10, 400],
    requires: (dice) => ({ arch: 'arm64', cpus: pick(dice, [0.5, 1, 2, 4]), memory_bytes: pick(dice, [1, 4]) * GIB }),
  },
  'one gpu': {
    share: 30,
    lasts: [20, 600],
    requires: (dice) => ({ cpus: pick(dice, [2, 4]), memory_bytes: 16 * GIB, gpus: { count: 1, ...drawModel(dice) } }),
  },
  'some gpus': {
    share: 3,
    lasts: [60, 1200],
    requires: (dice) => ({ cpus: 8, memory_bytes: 64 * GIB, gpus: { count: pick(dice, [2, 4]), ...drawModel(dice) } }),
  },
  'eight gpus': {
    share: 1,
    lasts: [200, 1200],
    requires: () => ({ cpus: 32, memory_bytes: 256 * GIB, gpus: { count: 8, min_vram_bytes: 40 * GIB } }),
  },
} as const satisfies Record<string, Template>

export const jobKinds = Object.keys(templates) as JobKind[]

function drawModel(dice: Random): { model?: string; min_vram_bytes?: number } {
  const what = dice.number()
  if (what < 0.4) return {}
  return what < 0.7 ? { model: 'l4' } : { min_vram_bytes: 40 * GIB }
}

/** `overMs`: they come evenly spread over this time; 0 brings all at once. */
export function makeJobs(dice: Random, { count, overMs }: { readonly count: number; readonly overMs: number }) {
  const total = jobKinds.reduce((sum, kind) => sum + templates[kind].share, 0)
  return Array.from({ length: count }, (_, index): FleetJob => {
    const kind = drawKind(dice.number() * total)
    const { lasts, requires } = templates[kind]
    const [least, most] = lasts
    // Most jobs are short, and a few of them make up much of the work.
    const durationMs = Math.round(1000 * least * (most / least) ** (dice.number() ** 1.5))
    const arrivesMs = overMs === 0 ? 0 : Math.floor((index * overMs) / count / ARRIVAL_TICK_MS) * ARRIVAL_TICK_MS
    return { index, kind, requires: requires(dice), durationMs, arrivesMs }
  })
}

/** A consumer that submits many sends them in batches. */
const ARRIVAL_TICK_MS = 1000

function drawKind(at: number): JobKind {
  let left = at
  for (const kind of jobKinds) {
    left -= templates[kind].share
    if (left < 0) return kind
  }
  return 'small'
}

function pick<T>(dice: Random, things: readonly T[]): T {
  return things[Math.floor(dice.number() * things.length)] as T
}
