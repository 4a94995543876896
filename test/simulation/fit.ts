// Which machine suits a job, and what its jobs hold of it together: as the manual says it and not as the product computes it.
import type { Gpu } from '../../src/protocol/field.ts'
import type { LabelNeed, Requires } from '../../src/protocol/job.ts'
import type { Gear } from './gear.ts'

/** What one job holds of its machine. */
export interface Holding {
  readonly requires: Requires
  /** Uuids of the devices that it was given. */
  readonly gpus: readonly string[]
}

/** Of the whole machine, nothing else running there. */
export function suitsGear(requires: Requires, gear: Gear): boolean {
  const { labels = {}, os = gear.os, arch = gear.arch, cpus = 0, memory_bytes = 0, gpus } = requires
  return (
    os === gear.os &&
    arch === gear.arch &&
    cpus <= gear.cpus &&
    memory_bytes <= gear.memory_bytes &&
    Object.entries(labels).every(([key, need]) => suitsLabel(need, gear.labels[key])) &&
    gear.gpus.filter((gpu) => suitsDevice(gpus, gpu)).length >= (gpus?.count ?? 0)
  )
}

function suitsLabel(need: LabelNeed, value: string | undefined): boolean {
  if (value === undefined) return false
  if (typeof need === 'string') return value === need
  switch (need.op) {
    case 'eq':
      return value === need.value
    case 'in':
      return need.value.includes(value)
    case 'gte':
      return Number(value) >= need.value
    case 'lte':
      return Number(value) <= need.value
    case 'between':
      return need.value[0] <= Number(value) && Number(value) <= need.value[1]
    case 'exists':
      return true
    default:
      return need satisfies never
  }
}

function suitsDevice(wanted: Requires['gpus'], { model = '', vram_bytes = 0 }: Gpu): boolean {
  const named = new RegExp(wanted?.model ?? '', 'i').test(model)
  return named && vram_bytes >= (wanted?.min_vram_bytes ?? 0)
}

/** Exactly so many devices, all of them of this machine and of the kind. */
export function hasItsDevices({ requires: { gpus: wanted }, gpus }: Holding, gear: Gear): boolean {
  const own = gear.gpus.filter(({ uuid }) => gpus.includes(uuid))
  const all = new Set(gpus).size === gpus.length && own.length === gpus.length
  return all && own.length === (wanted?.count ?? 0) && own.every((gpu) => suitsDevice(wanted, gpu))
}

/** What of the machine is held more than once, or beyond what there is. */
export function overheld(gear: Gear, holdings: readonly Holding[]): Readonly<Record<string, number | string>> {
  const sum = (of: (requires: Requires) => number) => holdings.reduce((all, { requires }) => all + of(requires), 0)
  const milli = sum(({ cpus = 0 }) => Math.round(cpus * 1000))
  const bytes = sum(({ memory_bytes = 0 }) => memory_bytes)
  return {
    ...(holdings.length > gear.slots && { slots: holdings.length }),
    ...(milli > gear.cpus * 1000 && { milli_cpus: milli }),
    ...(bytes > gear.memory_bytes && { memory_bytes: bytes }),
  }
}

export function sharedDevices(holdings: readonly Holding[]): readonly string[] {
  const all = holdings.flatMap(({ gpus }) => gpus)
  return all.filter((uuid, index) => all.indexOf(uuid) !== index)
}

/** Whether one more job finds room beside these. */
export function hasRoom(gear: Gear, holdings: readonly Holding[], requires: Requires): boolean {
  const taken = new Set(holdings.flatMap(({ gpus }) => gpus))
  const left = { ...gear, gpus: gear.gpus.filter(({ uuid }) => !taken.has(uuid)) }
  const more = [...holdings, { requires, gpus: [] }]
  return suitsGear(requires, left) && Object.keys(overheld(gear, more)).length === 0
}
