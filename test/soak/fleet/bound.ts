// What no schedule can beat, and what a simple planner makes of the same jobs when it knows all of them and how long each takes.
import type { Requires } from '../../../src/protocol/job.ts'
import { suitsGear } from '../../simulation/fit.ts'
import type { FleetJob, FleetMachine, MachineKind } from './workload.ts'

export interface Size {
  readonly milliCpus: number
  readonly memoryBytes: number
  readonly gpus: number
  readonly slots: number
}
export const resourceNames = ['milliCpus', 'memoryBytes', 'gpus', 'slots'] as const

export const sizeOfMachine = ({ cpus, memoryBytes, gpus, slots }: FleetMachine): Size => ({
  ...{ milliCpus: cpus * 1000, memoryBytes, gpus: gpus.length, slots },
})

export const sizeOfJob = ({ cpus = 0, memory_bytes = 0, gpus }: Requires): Size => ({
  ...{ milliCpus: Math.round(cpus * 1000), memoryBytes: memory_bytes, gpus: gpus?.count ?? 0, slots: 1 },
})

export function suitsMachine(requires: Requires, machine: FleetMachine): boolean {
  return suitsGear(requires, { ...machine, memory_bytes: machine.memoryBytes, os: 'linux', labels: {} })
}

const kinds: readonly MachineKind[] = ['cpu', 'gpu24', 'gpu80', 'arm']
/** Of the arrivals, how many are looked at as the moment from which on all is still to do. */
const MOMENTS = 40

/**
 * The least time in which all can be done: the longest job from its arrival, and for each set of kinds of machines and each resource the work of the jobs that
 * can run only there, over what there is; from the start, and from later moments on for what comes then.
 */
export function lowerBoundMs(jobs: readonly FleetJob[], machines: readonly FleetMachine[]): number {
  let most = Math.max(...jobs.map(({ arrivesMs, durationMs }) => arrivesMs + durationMs))
  const last = Math.max(...jobs.map(({ arrivesMs }) => arrivesMs))
  const masks = new Map<string, number>()
  const maskOf = ({ requires }: FleetJob) => {
    const key = JSON.stringify(requires)
    const known = masks.get(key)
    if (known !== undefined) return known
    const mask = kinds.reduce((sum, kind, bit) => {
      const does = machines.some((machine) => machine.kind === kind && suitsMachine(requires, machine))
      return sum + (does ? 2 ** bit : 0)
    }, 0)
    masks.set(key, mask)
    return mask
  }
  const moments = last === 0 ? [0] : Array.from({ length: MOMENTS }, (_, at) => (last * at) / MOMENTS)
  for (const moment of moments) {
    const work = workByMask(jobs, { from: moment, maskOf })
    for (let set = 1; set < 2 ** kinds.length; set++) {
      const there = machines.filter(({ kind }) => set & (2 ** kinds.indexOf(kind))).map(sizeOfMachine)
      for (const name of resourceNames) {
        const room = there.reduce((sum, size) => sum + size[name], 0)
        let sum = 0
        for (const [mask, of] of work) if ((mask & ~set) === 0) sum += of[name]
        if (room > 0) most = Math.max(most, moment + sum / room)
      }
    }
  }
  return most
}

type Work = Record<(typeof resourceNames)[number], number>

function workByMask(
  jobs: readonly FleetJob[],
  { from, maskOf }: { readonly from: number; readonly maskOf: (job: FleetJob) => number },
): Map<number, Work> {
  const work = new Map<number, Work>()
  for (const job of jobs) {
    if (job.arrivesMs < from) continue
    const mask = maskOf(job)
    const of = work.get(mask) ?? { milliCpus: 0, memoryBytes: 0, gpus: 0, slots: 0 }
    const size = sizeOfJob(job.requires)
    for (const name of resourceNames) of[name] += size[name] * job.durationMs
    work.set(mask, of)
  }
  return work
}

/** Jobs of equal needs, the longest last. */
interface Pile {
  readonly requires: Requires
  readonly size: Size
  readonly suits: ReadonlySet<FleetMachine>
  /** Who has fewer machines to choose from goes first. */
  readonly rank: number
  readonly durations: number[]
}

/** Longest first, the choosiest before the others, each machine filled as soon as something ends on it. Answers when the last job ends. */
export function plannedMs(jobs: readonly FleetJob[], machines: readonly FleetMachine[]): number {
  const piles = new Map<string, Pile>()
  const rooms = new Map(machines.map((machine) => [machine, { ...sizeOfMachine(machine) }]))
  const ends = new Ends()
  let [now, next, lastEnd] = [0, 0, 0]
  const fill = (machine: FleetMachine) => {
    const room = rooms.get(machine) as Work
    for (let pile = best(piles, machine, room); pile; pile = best(piles, machine, room)) {
      const end = now + (pile.durations.pop() ?? 0)
      for (const name of resourceNames) room[name] -= pile.size[name]
      ends.add({ end, machine, size: pile.size })
      lastEnd = Math.max(lastEnd, end)
    }
  }
  for (;;) {
    const arrival = jobs[next]?.arrivesMs ?? Number.POSITIVE_INFINITY
    const first = ends.first()
    if (arrival <= (first?.end ?? Number.POSITIVE_INFINITY)) {
      if (arrival === Number.POSITIVE_INFINITY) return lastEnd
      now = arrival
      for (let job = jobs[next]; job?.arrivesMs === arrival; job = jobs[++next]) pile(piles, job, machines)
      for (const machine of machines) fill(machine)
    } else if (first) {
      ends.take()
      now = first.end
      const room = rooms.get(first.machine) as Work
      for (const name of resourceNames) room[name] += first.size[name]
      fill(first.machine)
    }
  }
}

function pile(piles: Map<string, Pile>, { requires, durationMs }: FleetJob, machines: readonly FleetMachine[]): void {
  const key = JSON.stringify(requires)
  const known = piles.get(key)
  if (known) {
    insertSorted(known.durations, durationMs)
    return
  }
  const suits = new Set(machines.filter((machine) => suitsMachine(requires, machine)))
  const size = sizeOfJob(requires)
  piles.set(key, { requires, size, suits, rank: machines.length - suits.size, durations: [durationMs] })
}

function insertSorted(all: number[], one: number): void {
  let [low, high] = [0, all.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((all[middle] ?? 0) < one) low = middle + 1
    else high = middle
  }
  all.splice(low, 0, one)
}

function best(piles: ReadonlyMap<string, Pile>, machine: FleetMachine, room: Size): Pile | undefined {
  let found: Pile | undefined
  for (const one of piles.values()) {
    if (one.durations.length === 0 || !one.suits.has(machine)) continue
    if (resourceNames.some((name) => one.size[name] > room[name])) continue
    if (!found || isBefore(one, found)) found = one
  }
  return found
}

const weigh = ({ size, durations }: Pile) => (durations.at(-1) ?? 0) * Math.max(size.milliCpus / 1000, 8 * size.gpus)

/** GPUs first: nothing else may stand in their way. Then who can go nowhere else, then the most work. */
function isBefore(one: Pile, other: Pile): boolean {
  if (one.size.gpus !== other.size.gpus) return one.size.gpus > other.size.gpus
  if (one.rank !== other.rank) return one.rank > other.rank
  return weigh(one) > weigh(other)
}

interface End {
  readonly end: number
  readonly machine: FleetMachine
  readonly size: Size
}

/** A binary heap, the earliest first. */
class Ends {
  readonly #all: End[] = []

  first(): End | undefined {
    return this.#all[0]
  }

  add(one: End): void {
    const all = this.#all
    all.push(one)
    for (let at = all.length - 1; at > 0; ) {
      const up = (at - 1) >> 1
      if (this.#at(up) <= one.end) break
      this.#swap(up, at)
      at = up
    }
  }

  take(): void {
    const all = this.#all
    const last = all.pop()
    if (!last || all.length === 0) return
    all[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      const least = this.#at(left + 1) < this.#at(left) ? left + 1 : left
      if (this.#at(least) >= this.#at(at)) return
      this.#swap(at, least)
      at = least
    }
  }

  #at(index: number): number {
    return this.#all[index]?.end ?? Number.POSITIVE_INFINITY
  }

  #swap(one: number, other: number): void {
    const [first, second] = [this.#all[one] as End, this.#all[other] as End]
    this.#all[one] = second
    this.#all[other] = first
  }
}
