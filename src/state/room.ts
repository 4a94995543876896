// Room: what of a worker is free, and what a claim holds of it while it lives. Never over-committed: what is held is counted off before anything is given. Pure.
import type { Gpu, Resources } from '../protocol/field.ts'
import { type GpuNeed, type Lack, lack, lackOfGpus, type Needs, suitsGpu } from './match.ts'
import { allowance, type Worker } from './worker.ts'

/** What a claim holds of its worker beside its slot; what is absent it does not hold. */
export interface Held {
  readonly cpus?: number
  readonly memory_bytes?: number
  readonly disk_bytes?: number
  /** Their uuids. */
  readonly gpus?: readonly string[]
}

/** What it counts for where a pool is shared: its slot, or what it has of cpus or devices where that is more. */
export const unitsOf = ({ cpus = 1, gpus }: Held) => Math.max(1, cpus, gpus?.length ?? 1)

/** Of most claims: one object for all, so that nothing is made or read for them. */
export const nothing: Held = {}

export interface Room {
  readonly slots: number
  /** In thousandths: sums of fractions would drift. */
  readonly milliCpus: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly gpus: readonly Gpu[]
}

export interface Candidate {
  readonly worker: Worker
  readonly resources: Resources
  /** Slots it says are free now. */
  readonly freeSlots: number
  /** Claims that pond's own ledger still counts for it, lost ones included until the worker says they are gone. */
  readonly claims: number
  /** What they hold beside their slots. */
  readonly held: readonly Held[]
  /** The most claims that may be granted now, whatever is free. */
  readonly most: number
}

/** What may be granted now: the least of what the worker says, what the ledger says and how far it is trusted. */
export function roomOf(candidate: Candidate, now: number): Room {
  const { resources, held } = candidate
  const whole = wholeOf(resources, slotsOf(candidate, now))
  return held.length === 0 ? whole : without(whole, held)
}

/** Its slots alone. */
export function slotsOf({ worker, resources, freeSlots, claims, most }: Omit<Candidate, 'held'>, now: number): number {
  const ledger = resources.slots - claims
  return Math.max(0, Math.min(freeSlots, ledger, most, allowance(worker, claims, now)))
}

/** All that a machine has, with so many slots. */
export function wholeOf({ cpus = 0, memory_bytes = 0, disk_bytes = 0, gpus = [] }: Resources, slots: number): Room {
  return { slots, milliCpus: milli(cpus), memoryBytes: memory_bytes, diskBytes: disk_bytes, gpus }
}

/** What of the room is too little for a job, now. */
export function shortOf({ cpus, memory_bytes, disk_bytes, gpus }: Needs, room: Room): Lack | undefined {
  if (room.slots < 1) return lack('slots', 1, 0)
  if (cpus !== undefined && milli(cpus) > room.milliCpus) return lack('cpus', cpus, Math.max(0, room.milliCpus) / 1000)
  if (memory_bytes !== undefined && memory_bytes > room.memoryBytes) {
    return lack('memory_bytes', memory_bytes, Math.max(0, room.memoryBytes))
  }
  if (disk_bytes !== undefined && disk_bytes > room.diskBytes) {
    return lack('disk_bytes', disk_bytes, Math.max(0, room.diskBytes))
  }
  return gpus && lackOfGpus(gpus, room.gpus)
}

/** What of the room a job would hold; undefined where it does not fit now. */
export function hold(needs: Needs, room: Room): Held | undefined {
  if (shortOf(needs, room)) return undefined
  const { cpus, memory_bytes, disk_bytes, gpus } = needs
  if (isNothing(needs)) return nothing
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory_bytes === undefined ? {} : { memory_bytes }),
    ...(disk_bytes === undefined ? {} : { disk_bytes }),
    ...(gpus ? { gpus: chooseGpus(gpus, room.gpus) } : {}),
  }
}

/** Whether there is room for what a job holds, its slot and its disk aside: of a disk only its file system knows what is free. */
export function fits({ cpus = 0, memory_bytes = 0, gpus = [] }: Held, room: Room): boolean {
  const free = gpus.every((wanted) => room.gpus.some(({ uuid }) => uuid === wanted))
  return free && milli(cpus) <= room.milliCpus && memory_bytes <= room.memoryBytes
}

/** The room once a claim was granted that holds this. */
export function fill(room: Room, held: Held): Room {
  return { ...less(room, held), slots: room.slots - 1 }
}

/** What is left for others while a job waits for its part. */
export function setAside(room: Room, { cpus = 0, memory_bytes = 0, disk_bytes = 0, gpus }: Needs): Room {
  const kept = gpus ? chooseGpus(gpus, room.gpus) : []
  return {
    slots: Math.max(0, room.slots - 1),
    milliCpus: room.milliCpus - milli(cpus),
    memoryBytes: room.memoryBytes - memory_bytes,
    diskBytes: room.diskBytes - disk_bytes,
    gpus: room.gpus.filter(({ uuid }) => !kept.includes(uuid)),
  }
}

function less(room: Room, held: Held): Room {
  if (isNothing(held)) return room
  const { cpus, memory_bytes, disk_bytes, gpus } = held
  return {
    slots: room.slots,
    milliCpus: room.milliCpus - milli(cpus ?? 0),
    memoryBytes: room.memoryBytes - (memory_bytes ?? 0),
    diskBytes: room.diskBytes - (disk_bytes ?? 0),
    gpus: gpus ? room.gpus.filter(({ uuid }) => !gpus.includes(uuid)) : room.gpus,
  }
}

const isNothing = ({ cpus, memory_bytes, disk_bytes, gpus }: Pick<Needs, keyof Held> | Held) =>
  cpus === undefined && memory_bytes === undefined && disk_bytes === undefined && gpus === undefined

/** What all of these leave, their slots aside. In one pass: it is asked for many claims at each look for a job. */
export function without(room: Room, held: readonly Held[]): Room {
  let { milliCpus, memoryBytes, diskBytes } = room
  const taken = new Set<string>()
  for (const { cpus = 0, memory_bytes = 0, disk_bytes = 0, gpus = [] } of held) {
    milliCpus -= milli(cpus)
    memoryBytes -= memory_bytes
    diskBytes -= disk_bytes
    for (const uuid of gpus) taken.add(uuid)
  }
  const gpus = taken.size > 0 ? room.gpus.filter(({ uuid }) => !taken.has(uuid)) : room.gpus
  return { slots: room.slots, milliCpus, memoryBytes, diskBytes, gpus }
}

/** The smallest that will do: the larger ones are for whoever needs them. */
function chooseGpus(need: GpuNeed, free: readonly Gpu[]): readonly string[] {
  const fit = free.filter((gpu) => suitsGpu(need, gpu))
  fit.sort((one, other) => (one.vram_bytes ?? 0) - (other.vram_bytes ?? 0))
  return fit.slice(0, need.count).map(({ uuid }) => uuid)
}

const milli = (cpus: number) => Math.round(cpus * 1000)
