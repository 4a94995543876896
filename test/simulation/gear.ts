// What simulated machines have, and what simulated jobs ask of them. Drawn by dice of their own, so that a world without such wishes is the world it was.
import type { Gpu } from '../../src/protocol/field.ts'
import type { JobSpec, Labels, Requires } from '../../src/protocol/job.ts'
import type { Random } from '../../src/system/random.ts'
import { suitsGear } from './fit.ts'

export interface Gear {
  readonly slots: number
  readonly cpus: number
  readonly memory_bytes: number
  readonly gpus: readonly Gpu[]
  readonly os: string
  readonly arch: string
  readonly labels: Labels
}

/** How much of a world is about who suits whom. */
export interface Demand {
  /** Chance that a job requires something; without it machines are all alike. */
  readonly needs: number
  /** Chance that a job waits for others. */
  readonly after: number
  /** Chance that a machine comes only in the middle of the storm: what needs it suits nobody until then. */
  readonly late: number
}

export const undemanding: Demand = { needs: 0, after: 0, late: 0 }

export function drawDemand(dice: Random): Demand {
  if (dice.number() < 0.5) return undemanding
  return { needs: 0.3 + dice.number() * 0.7, after: dice.number() < 0.6 ? 0.3 : 0, late: dice.number() < 0.4 ? 0.4 : 0 }
}

const GIB = 2 ** 30

const plain: Omit<Gear, 'slots'> = {
  ...{ cpus: 4, memory_bytes: 8 * GIB, gpus: [], os: 'linux', arch: 'x64', labels: {} },
}

const models = [
  { model: 'NVIDIA L4', vram_bytes: 24 * GIB },
  { model: 'NVIDIA H100 80GB HBM3', vram_bytes: 80 * GIB },
] as const

export interface GearWish {
  readonly host: string
  readonly slots: number
  readonly needs: number
}

export function drawGear(dice: Random, { host, slots, needs }: GearWish): Gear {
  if (needs === 0) return { ...plain, slots }
  const devices = dice.number() < 0.4 ? 0 : 1 + upTo(dice, 2)
  const mixed = dice.number() < 0.3
  const first = upTo(dice, 1)
  return {
    slots,
    cpus: pick(dice, [1, 2, 3.5, 4, 8]),
    memory_bytes: pick(dice, [2, 4, 8, 16]) * GIB,
    gpus: Array.from({ length: devices }, (_, index) => ({
      uuid: `GPU-${host}-${index}`,
      ...(models[mixed ? (first + index) % 2 : first] ?? models[0]),
    })),
    os: dice.number() < 0.85 ? 'linux' : 'darwin',
    arch: dice.number() < 0.7 ? 'x64' : 'arm64',
    labels: { zone: pick(dice, ['a', 'b']), tier: `${1 + upTo(dice, 4)}` },
  }
}

/** What a job asks for. One that suits none of all machines, however long it waits, has a time to live. */
export function drawWish(
  dice: Random,
  { needs, gears }: { readonly needs: number; readonly gears: readonly Gear[] },
): Pick<JobSpec, 'requires' | 'ttl_ms'> {
  if (needs === 0 || dice.number() >= needs) return {}
  const requires = drawRequires(dice)
  const ttl_ms = 1 + upTo(dice, 90_000)
  return { requires, ...(gears.some((gear) => suitsGear(requires, gear)) ? {} : { ttl_ms }) }
}

function drawRequires(dice: Random): Requires {
  const may = (chance: number) => dice.number() < chance
  const milli = 1 + upTo(dice, 3000)
  return {
    ...(may(0.6) && { cpus: milli / 1000 }),
    ...(may(0.4) && { memory_bytes: 1 + upTo(dice, 5 * GIB) }),
    ...(may(0.4) && { gpus: drawGpus(dice) }),
    ...(may(0.25) && { labels: drawLabels(dice) }),
    ...(may(0.1) && { os: pick(dice, ['linux', 'linux', 'darwin']) }),
    ...(may(0.15) && { arch: pick(dice, ['x64', 'arm64']) }),
  }
}

function drawGpus(dice: Random): NonNullable<Requires['gpus']> {
  return {
    count: dice.number() < 0.7 ? 1 : 2,
    ...(dice.number() < 0.3 && { model: pick(dice, ['h100', 'L4']) }),
    ...(dice.number() < 0.3 && { min_vram_bytes: pick(dice, [16, 40]) * GIB }),
  }
}

function drawLabels(dice: Random): NonNullable<Requires['labels']> {
  const kinds: readonly NonNullable<Requires['labels']>[] = [
    { zone: pick(dice, ['a', 'b']) },
    { zone: { op: 'in', value: ['b', 'c'] } },
    { tier: { op: 'gte', value: 1 + upTo(dice, 4) } },
    { tier: { op: 'lte', value: 1 + upTo(dice, 4) } },
    { zone: { op: 'exists' } },
  ]
  return pick(dice, kinds)
}

const upTo = (dice: Random, most: number) => Math.floor(dice.number() * (most + 1))

function pick<T>(dice: Random, things: readonly T[]): T {
  const thing = things[upTo(dice, things.length - 1)]
  if (thing === undefined) throw new Error('there is nothing to pick')
  return thing
}
