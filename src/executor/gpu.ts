// The GPUs of this machine, as their vendors' own tools tell them; without a tool there are none. And how a job is told which are its own.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Gpu } from '../protocol/field.ts'
import { type Argv, findProgram } from './launch.ts'

export interface Device extends Gpu {
  readonly kind: keyof typeof vendors
  /** Name of its file in /dev, where that is told; a process that cannot open it cannot use the device. */
  readonly node?: string
}

export interface GpuParts {
  /** Runs a short program; answers its stdout, or undefined unless it exits 0. */
  readonly run: (argv: Argv) => Promise<string | undefined>
  /** PATH in which the tools are looked for. */
  readonly path: string
  /** A tool is there and tells nothing that can be used. */
  readonly failed: (tool: string) => void
  /** Where NVIDIA's driver tells of each device. */
  readonly driver?: string
}

interface Vendor {
  readonly tool: readonly [string, ...string[]]
  readonly read: (text: string) => readonly Gpu[]
  /** The variable by which its driver shows a process some of its devices. */
  readonly variable: string
}

const MIB = 1024 ** 2

const vendors = {
  nvidia: {
    tool: ['nvidia-smi', '--query-gpu=uuid,name,memory.total', '--format=csv,noheader,nounits'],
    read: readNvidia,
    variable: 'CUDA_VISIBLE_DEVICES',
  },
  amd: {
    tool: ['rocm-smi', '--showuniqueid', '--showproductname', '--showmeminfo', 'vram', '--json'],
    read: readAmd,
    variable: 'ROCR_VISIBLE_DEVICES',
  },
} satisfies Record<string, Vendor>

export async function findDevices(parts: GpuParts): Promise<readonly Device[]> {
  const found = await Promise.all(kinds.map((kind) => findOf(kind, parts)))
  const nodes = readNodes(parts.driver ?? '/proc/driver/nvidia/gpus')
  return found.flat().map((device) => {
    const node = nodes.get(device.uuid)
    return { ...device, ...(node === undefined ? {} : { node }) }
  })
}

/** By uuid. */
function readNodes(driver: string): ReadonlyMap<string, string> {
  try {
    const texts = readdirSync(driver).map((name) => readFileSync(join(driver, name, 'information'), 'utf8'))
    return new Map(
      texts.flatMap((text) => {
        const uuid = /^GPU UUID:\s*(GPU-\S+)/m.exec(text)?.[1]
        const minor = /^Device Minor:\s*(\d+)/m.exec(text)?.[1]
        return uuid === undefined || minor === undefined ? [] : [[uuid, `nvidia${minor}`] as const]
      }),
    )
  } catch {
    return new Map()
  }
}

const kinds = Object.keys(vendors) as Device['kind'][]

async function findOf(kind: Device['kind'], { run, path, failed }: GpuParts): Promise<readonly Device[]> {
  const { tool, read } = vendors[kind]
  const [name, ...args] = tool
  const file = findTool(name, path)
  if (file === undefined) return []
  try {
    const text = await run({ file, args, env: { PATH: path } })
    if (text !== undefined) return read(text).map((gpu) => ({ ...gpu, kind }))
  } catch {
    // It speaks another language.
  }
  failed(name)
  return []
}

function findTool(name: string, path: string): string | undefined {
  try {
    return findProgram(name, '/', path)
  } catch {
    return undefined
  }
}

/** `GPU-…, NVIDIA A100-SXM4-80GB, 81920`: the memory in MiB, or a word where there is no figure. */
function readNvidia(text: string): readonly Gpu[] {
  return text.split('\n').flatMap((line) => {
    const [uuid = '', model = '', memory = ''] = line.split(',').map((part) => part.trim())
    return uuid.startsWith('GPU-') ? [gpuOf(uuid, model, Number(memory) * MIB)] : []
  })
}

/** `{"card0": {"Unique ID": "0x…", "Card Series": …, "VRAM Total Memory (B)": …}}`; ROCm names a device GPU- and the digits of its id. */
function readAmd(text: string): readonly Gpu[] {
  const cards: Readonly<Record<string, Readonly<Record<string, unknown>>>> = JSON.parse(text.slice(text.indexOf('{')))
  return Object.values(cards).flatMap((card) => {
    const field = (...names: string[]) => String(names.map((name) => card[name]).find((it) => it !== undefined) ?? '')
    const id = /^0x([0-9a-f]{1,16})$/i.exec(field('Unique ID'))?.[1]
    if (id === undefined) return []
    const model = field('Card Series', 'Card series', 'Card Model', 'Card model')
    return [gpuOf(`GPU-${id.toLowerCase().padStart(16, '0')}`, model, Number(field('VRAM Total Memory (B)')))]
  })
}

function gpuOf(uuid: string, model: string, vram: number): Gpu {
  return {
    uuid,
    ...(model === '' ? {} : { model }),
    ...(Number.isSafeInteger(vram) && vram > 0 ? { vram_bytes: vram } : {}),
  }
}

/** A number that no device has: none is shown. */
const NONE = '-1'

/** For each driver whose devices are here, those of them that are the job's own. */
export function variablesOf(devices: readonly Device[], own: readonly string[] = []): Readonly<Record<string, string>> {
  const here = kinds.filter((kind) => devices.some((device) => device.kind === kind))
  return Object.fromEntries(
    here.map((kind) => {
      const mine = devices.filter((device) => device.kind === kind && own.includes(device.uuid))
      return [vendors[kind].variable, mine.map(({ uuid }) => uuid).join(',') || NONE]
    }),
  )
}

/** What a GPU's libraries open. */
const GPU_FILE = /^(nvidia.*|dri|kfd)$/

/** Files of GPUs that a job may open: all but those of devices that are not its own. */
export function filesFor(devices: readonly Device[], own: readonly string[] = [], folder = '/dev'): readonly string[] {
  const others = devices.filter(({ uuid }) => !own.includes(uuid))
  const hidden = new Set(others.map(({ node }) => node))
  // These are of all AMD devices together.
  const isForeign =
    others.some(({ kind }) => kind === 'amd') && !devices.some((it) => it.kind === 'amd' && own.includes(it.uuid))
  if (isForeign) for (const name of ['kfd', 'dri']) hidden.add(name)
  const files = readdirSync(folder).filter((name) => GPU_FILE.test(name) && !hidden.has(name))
  return files.map((name) => join(folder, name))
}
