// The contract of every executor: a plan becomes a process tree that can be watched, signalled and wiped out whole.
import type { Gpu, Sandbox } from '../protocol/field.ts'

/** How the whole tree is found again, best first; named in `swarm status`. */
export type TreeRung = 'cgroup-v2' | 'cgroup-v1' | 'pid-namespace' | 'proc-scan' | 'process-group'

/** What is to run. All of it comes from the job's exact bytes, nothing from swarm's own environment. */
export interface Plan {
  readonly claimId: string
  readonly jobId: string
  /** Counts from 1. */
  readonly attempt: number
  readonly arrayIndex?: number
  readonly command: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
  /** Bytes for stdin; without it stdin is empty. */
  readonly input?: Uint8Array
  /** `none`: no network at all. Refused where the sandbox cannot see to it. */
  readonly network?: 'none' | 'host'
  /** Devices that are the job's own, by uuid; it is shown no others. */
  readonly gpus?: readonly string[]
  /** Plain file name → content: lies 0600 in the private folder `$POND_CREDENTIALS` as long as the process runs, and nowhere else. */
  readonly files?: Readonly<Record<string, Uint8Array>>
  /** Fills the folder that the process starts in, which is empty without it. */
  readonly prepare?: (work: string) => void | Promise<void>
  /** Asked last, when all is ready for its process. When it rejects nothing is started, and `start` rejects with that. */
  readonly confirm?: () => Promise<void>
}

export interface Watch {
  /**
   * Bytes as they were read. They are good until the call returns: who needs them longer copies them. A returned promise is back-pressure: the pipe is
   * not read again until it resolves.
   */
  output(stream: 'stdout' | 'stderr', bytes: Buffer): void | Promise<void>
  /** One parsed NDJSON line of `$POND_EVENTS`; lines that are no JSON object or over 64 KiB are counted, not delivered. */
  event(value: Readonly<Record<string, unknown>>): void
}

export interface Usage {
  readonly cpu_ms: number
  readonly max_rss_bytes: number
  readonly wall_ms: number
  /** True where figures were sampled from /proc, because no cgroup counted them. */
  readonly sampled: boolean
}

export interface Exit {
  /** `oom` only where the cgroup's counter proves it. */
  readonly cause: 'exit' | 'signal' | 'oom'
  /** How many of its processes the kernel killed, with `oom`. */
  readonly oomKills?: number
  /** 0–255; for a signal 128 + its number. */
  readonly rc: number
  readonly signal?: string
  readonly usage: Usage
  /** Lines of `$POND_EVENTS` that were no JSON object or longer than 64 KiB. */
  readonly eventsSkipped: number
  /** The bytes of `$POND_RESULT` when it holds valid JSON of at most 1 MiB. */
  readonly result?: Buffer
  /** Why `$POND_RESULT` was not taken, in words. */
  readonly resultProblem?: string
}

/** What a journal keeps to find a tree again after a restart: a pid alone may have been given to another process. */
export interface Trace {
  readonly claimId: string
  readonly jobId: string
  /** With the job's id it marks the environment of each of its processes. */
  readonly attempt: number
  /** 0 where it is not known. */
  readonly pid: number
  /** Field 22 of /proc/PID/stat, in clock ticks since boot; the boot id is in front, so a reboot is seen. */
  readonly startTime: string
  /** The cgroup folders made for it, if any. */
  readonly cgroups: readonly string[]
}

export interface Execution {
  readonly trace: Trace
  /** The folder that the process started in; there until `release`. */
  readonly work: string
  /** Resolves once: the first process has ended, what it left behind was killed, and its pipes are drained (≤ 5 s). Never rejects. */
  readonly exited: Promise<Exit>
  /** SIGTERM to the whole tree; processes that left the group are reached by the rung. */
  terminate(): void
  /** SIGKILL to the whole tree, repeated until nothing of it lives. Resolves then. */
  kill(): Promise<void>
  /** Once after `exited`: its folders are looked at no more. */
  release(): Promise<void>
}

/** A plan that could not become a process: missing executable, no permission, folder not writable. Ends a job as `setup_failed`, 125. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}

export interface Executor {
  readonly name: string
  readonly rung: TreeRung
  /** Below it jobs have their folders. */
  readonly folder: string
  /** Devices that it can give to jobs. */
  readonly gpus: readonly Gpu[]
  readonly sandbox: Sandbox
  /** Why there is none, in words for the owner; absent where there is one. */
  readonly whyUnsandboxed?: string
  /** Rejects with SetupError when nothing was started. */
  start(plan: Plan, watch: Watch): Promise<Execution>
  /** Before the first start: kills what a former swarm of this home left running, these trees and any of unknown trace; resolves with how many processes were killed. */
  sweep(traces: readonly Trace[]): Promise<number>
  /** Gives back what it keeps for the next start. Nothing may be started after it. */
  close(): Promise<void>
}
