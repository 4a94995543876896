// Which worker may get which job: what the job needs against what the worker is. What is free of it at the moment is room.ts. Pure.
import { type Gpu, networks, type Resources, type Sandbox } from '../protocol/field.ts'
import type { JobSpec, LabelNeed, Labels, Requires } from '../protocol/job.ts'

/** Jobs with equal needs are of one requirement class. */
export interface Needs extends Requires {
  /** It brings a secret, or its output is one. */
  readonly secrets?: true
  /** Of the job's own field `sandbox`: what a worker would decline for what it is. A network of `host` is no need: all have it. */
  readonly 'sandbox.backend'?: SandboxValue
  readonly 'sandbox.network'?: SandboxValue
}

type SandboxValue = NonNullable<JobSpec['sandbox']>[string]

/** Of most jobs. */
export const anything: Needs = {}

/** What a worker said of the walls between its jobs. */
export interface Walls {
  readonly sandbox?: Sandbox | undefined
  readonly allow_unsandboxed?: boolean | undefined
}

/** A worker, as far as a match goes by it. */
export interface Means extends Walls {
  readonly labels: Labels
  readonly resources: Resources
  readonly os?: string | undefined
  readonly arch?: string | undefined
}

/** A requirement that a worker does not meet, however long one waits. */
export interface Lack {
  /** As a job names it: `os`, `labels.zone`, `gpus.min_vram_bytes`; `secrets` for walls that keep them. */
  readonly requirement: string
  readonly wants: unknown
  /** Absent where the worker tells nothing of the kind. */
  readonly has?: unknown
}

/** A job that brings a secret to its worker, or whose output is one. */
export function isConfidential(job: Pick<JobSpec, 'credential' | 'bundle' | 'recipients'>): boolean {
  return job.credential !== undefined || job.bundle !== undefined || job.recipients !== undefined
}

/** Whether a worker may get confidential jobs: where other jobs could read them, only if its owner says so. One that has said nothing has no walls. */
export function mayKeepSecrets({ sandbox = 'none', allow_unsandboxed = false }: Walls = {}): boolean {
  return sandbox !== 'none' || allow_unsandboxed
}

/** True when this worker lately declined this job. */
export function isPassedOver(passedOver: Readonly<Record<string, number>>, workerId: string, now: number): boolean {
  const until = passedOver[workerId]
  return until !== undefined && until > now
}

/** The first requirement that the worker does not meet, in the order in which people ask: what it is, then what it has. */
export function lackOf(needs: Needs, means: Means): Lack | undefined {
  return lackOfKind(needs, means) ?? lackOfLabel(needs.labels, means.labels) ?? lackOfSize(needs, means.resources)
}

function lackOfKind(needs: Needs, means: Means): Lack | undefined {
  const { os, arch } = needs
  if (os !== undefined && os !== means.os) return lack('os', os, means.os)
  if (arch !== undefined && arch !== means.arch) return lack('arch', arch, means.arch)
  return lackOfWalls(needs, means)
}

/** What of the walls that a job needs is not there. Pond asks before it gives a job, and the worker before it takes one. */
export function lackOfWalls(needs: Needs, walls: Walls): Lack | undefined {
  for (const name of ['sandbox', 'sandbox.backend'] as const) {
    const wanted = needs[name]
    if (wanted !== undefined && wanted !== walls.sandbox) return lack(name, wanted, walls.sandbox)
  }
  const network = needs['sandbox.network']
  const can = networks[walls.sandbox ?? 'none']
  if (network !== undefined && !can.some((one) => one === network)) return lack('sandbox.network', network, can)
  if (needs.secrets && !mayKeepSecrets(walls)) return lack('secrets', 'a sandbox', walls.sandbox ?? 'none')
  return undefined
}

function lackOfLabel(needs: Needs['labels'], labels: Labels): Lack | undefined {
  for (const [key, need] of Object.entries(needs ?? {})) {
    const has = Object.hasOwn(labels, key) ? labels[key] : undefined
    if (has === undefined || !suits(need, has)) return lack(`labels.${key}`, need, has)
  }
  return undefined
}

/** Whether a label's value is what was asked for. */
export function suits(need: LabelNeed, has: string): boolean {
  if (typeof need === 'string') return has === need
  switch (need.op) {
    case 'eq':
      return has === need.value
    case 'in':
      return need.value.includes(has)
    case 'gte':
      return numberOf(has) >= need.value
    case 'lte':
      return numberOf(has) <= need.value
    case 'between':
      return numberOf(has) >= need.value[0] && numberOf(has) <= need.value[1]
    case 'exists':
      return true
    default:
      return need satisfies never
  }
}

/** NaN, which no comparison lets pass, for what is no plain decimal number. */
const numberOf = (text: string) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN)

function lackOfSize(needs: Needs, resources: Resources): Lack | undefined {
  const { cpus, gpus } = needs
  if (cpus !== undefined && !(cpus <= (resources.cpus ?? 0))) return lack('cpus', cpus, resources.cpus)
  for (const name of ['memory_bytes', 'disk_bytes'] as const) {
    const bytes = needs[name]
    if (bytes !== undefined && bytes > (resources[name] ?? 0)) return lack(name, bytes, resources[name])
  }
  return gpus && lackOfGpus(gpus, resources.gpus ?? [])
}

export type GpuNeed = NonNullable<Needs['gpus']>

/** Named by the part that shrinks the choice below the count. */
export function lackOfGpus({ count, model, min_vram_bytes }: GpuNeed, gpus: readonly Gpu[]): Lack | undefined {
  if (gpus.length < count) return lack('gpus.count', count, gpus.length)
  const ofModel = gpus.filter((gpu) => suitsGpu({ model }, gpu))
  if (ofModel.length < count) {
    return lack(
      'gpus.model',
      model,
      gpus.map((gpu) => gpu.model),
    )
  }
  const large = ofModel.filter((gpu) => suitsGpu({ min_vram_bytes }, gpu))
  if (large.length >= count) return undefined
  return lack(
    'gpus.min_vram_bytes',
    min_vram_bytes,
    ofModel.map((gpu) => gpu.vram_bytes),
  )
}

/** Whether one device is of the kind; of one that does not tell its memory none is assumed. */
export function suitsGpu({ model, min_vram_bytes = 0 }: Partial<GpuNeed>, gpu: Gpu): boolean {
  const named = model === undefined || (gpu.model ?? '').toLowerCase().includes(model.toLowerCase())
  return named && (gpu.vram_bytes ?? 0) >= min_vram_bytes
}

export function lack(requirement: string, wants: unknown, has: unknown): Lack {
  return { requirement, wants, ...(has === undefined ? {} : { has }) }
}

/** What a job needs, without what is no need. Equal needs are equal as JSON once that is canonical. */
export function needsOf(spec: JobSpec): Needs {
  if (spec.requires === undefined && spec.sandbox === undefined && !isConfidential(spec)) return anything
  const { labels, ...rest } = spec.requires ?? {}
  const { backend, network } = spec.sandbox ?? {}
  return {
    ...rest,
    ...(labels && Object.keys(labels).length > 0 ? { labels: plain(labels) } : {}),
    ...(backend === undefined ? {} : { 'sandbox.backend': backend }),
    ...(network === undefined || network === 'host' ? {} : { 'sandbox.network': network }),
    ...(isConfidential(spec) ? { secrets: true as const } : {}),
  }
}

/** One text for what means the same. */
function plain(labels: NonNullable<Requires['labels']>): NonNullable<Requires['labels']> {
  const entries = Object.entries(labels).map(([key, need]) => {
    if (typeof need === 'string' || need.op !== 'eq') return [key, need] as const
    return [key, need.value] as const
  })
  return Object.fromEntries(entries)
}
