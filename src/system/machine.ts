// What a machine tells of itself that its owner may make a rule of: power, whether somebody is at a terminal, load, memory. Reads, and decides nothing.
import { readdir, readFile, stat } from 'node:fs/promises'
import { availableParallelism, freemem, loadavg } from 'node:os'
import { join } from 'node:path'

/** What is not told cannot be read on this machine. */
export interface MachineFacts {
  /** Not on battery. */
  readonly onMains?: boolean
  /** Milliseconds since somebody last typed at any terminal; infinite where there is none. A desktop is not seen. */
  readonly idleMs?: number
  /** One-minute load average, divided by the cores. */
  readonly loadPerCore?: number
  /** What processes may still take without swapping. */
  readonly freeMemoryBytes?: number
}

export interface Machine {
  facts(): Promise<MachineFacts>
  /** It has a battery of its own, so that it may be carried around and closed. */
  hasBattery(): Promise<boolean>
}

export interface MachineParts {
  /** Wall time, as in `Clock`. */
  readonly now: () => number
  /** Where /sys, /proc and /dev are. */
  readonly root?: string
  readonly load?: () => number
}

export function createMachine({ now, root = '/', load = () => loadavg()[0] ?? 0 }: MachineParts): Machine {
  const supplies = () => readSupplies(join(root, 'sys/class/power_supply'))
  return {
    async facts() {
      const [power, idleMs, freeMemoryBytes] = await Promise.all([
        supplies(),
        readIdle(join(root, 'dev'), now),
        readFreeMemory(join(root, 'proc/meminfo')),
      ])
      const onMains = isOnMains(power)
      return {
        ...(onMains !== undefined && { onMains }),
        ...(idleMs !== undefined && { idleMs }),
        loadPerCore: load() / availableParallelism(),
        freeMemoryBytes,
      }
    },
    hasBattery: async () => (await supplies())?.some(isBattery) ?? false,
  }
}

interface Supply {
  readonly type: string
  /** `Device`: of a mouse or a headset, and not of the machine. */
  readonly scope: string
  readonly online: string
  readonly status: string
}

const isBattery = ({ type, scope }: Supply) => type === 'Battery' && scope !== 'Device'

async function readSupplies(folder: string): Promise<readonly Supply[] | undefined> {
  const names = await readdir(folder).catch(() => undefined)
  if (!names) return undefined
  const read = (name: string, file: string) => readFile(join(folder, name, file), 'utf8').then(trim, () => '')
  return Promise.all(
    names.map(async (name) => {
      const [type, scope, online, status] = await Promise.all([
        read(name, 'type'),
        read(name, 'scope'),
        read(name, 'online'),
        read(name, 'status'),
      ])
      return { type, scope, online, status }
    }),
  )
}

const trim = (text: string) => text.trim()

/** A machine without a battery runs on mains, and one whose plug is not told does unless its battery runs down. Undefined where nothing tells of either. */
function isOnMains(supplies: readonly Supply[] | undefined): boolean | undefined {
  if (!supplies) return undefined
  const batteries = supplies.filter(isBattery)
  if (batteries.length === 0) return true
  const plugs = supplies.filter(({ type, scope }) => (type === 'Mains' || type.startsWith('USB')) && scope !== 'Device')
  if (plugs.length > 0) return plugs.some(({ online }) => online === '1')
  return !batteries.some(({ status }) => status === 'Discharging')
}

/** A terminal's file was last read when somebody last typed there, as `w` shows it. */
async function readIdle(dev: string, now: () => number): Promise<number | undefined> {
  const devices = await readdir(dev).catch(() => undefined)
  if (!devices) return undefined
  const consoles = devices.filter((name) => /^ttys?[0-9]+$/.test(name))
  const remote = (await readdir(join(dev, 'pts')).catch(() => [])).filter((name) => /^[0-9]+$/.test(name))
  const paths = [...consoles, ...remote.map((name) => join('pts', name))].map((name) => join(dev, name))
  const typed = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ atimeMs }) => atimeMs,
        () => Number.NEGATIVE_INFINITY,
      ),
    ),
  )
  return Math.max(0, now() - Math.max(Number.NEGATIVE_INFINITY, ...typed))
}

async function readFreeMemory(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(text) ?? []
  return kib === undefined ? freemem() : Number(kib) * 1024
}
