// What an attempt used: counted by its cgroups, else sampled from /proc while it runs.
import type { Cancel, Clock } from '../system/clock.ts'
import { type Cgroup, type CgroupCounters, readCounters } from './cgroup.ts'
import type { Usage } from './contract.ts'
import type { Tree } from './kill.ts'
import { peakMemory, readStat } from './proc.ts'

export interface Meter {
  /** The figures, and how many of its processes the kernel killed for want of memory. Ends the sampling. */
  finish(): { readonly usage: Usage; readonly oomKills: number }
}

/** A short job is looked at early and often, a long one twice a second. */
const FIRST_SAMPLE_MS = 30
const SAMPLE_EVERY_MS = 500

export interface MeterParts {
  readonly clock: Clock
  readonly cgroups: readonly Cgroup[]
  readonly tree: Tree
  /** What the cgroups had counted when it started. */
  readonly before: CgroupCounters
  /** Whether the cgroups leave a figure out, which then comes from /proc. */
  readonly sampled: boolean
}

export function startMeter({ clock, cgroups, tree, before, sampled }: MeterParts): Meter {
  const started = clock.monotonic()
  let most = { cpuMs: 0, memoryBytes: 0 }
  let cancel: Cancel = () => {}
  const look = (delayMs: number) => {
    cancel = clock.after(delayMs, () => {
      most = larger(most, sample(tree.members()))
      look(Math.min(delayMs * 2, SAMPLE_EVERY_MS))
    })
  }
  if (sampled) look(FIRST_SAMPLE_MS)
  return {
    finish() {
      cancel()
      const after = readCounters(cgroups)
      const cpuMs = after.cpuMs === undefined ? most.cpuMs : after.cpuMs - (before.cpuMs ?? 0)
      const maxMemoryBytes =
        after.maxMemoryBytes === undefined ? most.memoryBytes : after.maxMemoryBytes - (before.maxMemoryBytes ?? 0)
      const oomKills = after.oomKills - before.oomKills
      const wallMs = clock.monotonic() - started
      const usage = { cpu_ms: Math.round(cpuMs), max_rss_bytes: maxMemoryBytes, wall_ms: Math.round(wallMs), sampled }
      return { usage, oomKills }
    },
  }
}

interface Sample {
  readonly cpuMs: number
  readonly memoryBytes: number
}

/** Sums of the living. The dead are in the figures of the parent that waited for them, so they are not kept here too. */
function sample(pids: readonly number[]): Sample {
  let [cpuMs, memoryBytes] = [0, 0]
  for (const pid of pids) {
    cpuMs += readStat(pid)?.cpuMs ?? 0
    memoryBytes += peakMemory(pid)
  }
  return { cpuMs, memoryBytes }
}

function larger(a: Sample, b: Sample): Sample {
  return { cpuMs: Math.max(a.cpuMs, b.cpuMs), memoryBytes: Math.max(a.memoryBytes, b.memoryBytes) }
}
