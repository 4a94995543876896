// What a swarm is to whoever starts it: the parts it is made of, the orders it takes, and how it ends.
import type { Client } from '../client/contract.ts'
import type { Executor } from '../executor/contract.ts'
import type { Resources, WorkerClass } from '../protocol/field.ts'
import type { Clock } from '../system/clock.ts'
import type { Disk } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { Machine } from '../system/machine.ts'
import type { Random } from '../system/random.ts'
import type { DrainOptions, DrainReason } from './drain.ts'
import type { SwarmHealth } from './health.ts'
import type { Home } from './home.ts'
import type { MakeKeyPair } from './key.ts'
import type { LiveBinding } from './live-binding.ts'
import type { Rotated } from './rotation.ts'
import type { SwarmStatus } from './status.ts'

export interface Host {
  readonly os: string
  readonly arch: string
  /** What of the machine is for jobs. */
  readonly resources: Pick<Resources, 'cpus' | 'memory_bytes'>
  /** The most of the disk that is for the folders of jobs; absent: what is free. */
  readonly diskBytes?: number
  /** Uuids of the devices that are for jobs; absent: all. */
  readonly gpus?: readonly string[]
  /** Of this program. */
  readonly version: string
  /** One-minute load average. */
  load(): number
  /** What its owner's rules are about; without it those about the machine are not met. */
  readonly machine?: Machine
}

export interface SwarmOptions extends DrainOptions {
  /** Jobs at a time of this host's own worker. */
  readonly slots: number
  /** Ed25519 keys of those whose signed jobs are run; without any, everybody's. */
  readonly signers?: readonly string[]
  /** How long pond waits for this machine when it is silent; `server` unless said otherwise. */
  readonly class?: WorkerClass
  /** Take confidential jobs even where nothing keeps other jobs from them. */
  readonly allowUnsandboxed?: boolean
}

export interface SwarmParts {
  /** Bound to pond's URL, to the binding's token and its signer. */
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly disk: Disk
  readonly executor: Executor
  /** Locked by the caller. */
  readonly home: Home
  readonly binding: LiveBinding
  readonly host: Host
  readonly options: SwarmOptions
  readonly makeKeyPair?: MakeKeyPair
  /** Leaves all connections of the client and makes new ones. */
  readonly renew?: () => void
}

/** Why `run` ended. `unauthenticated`: revoked or unpaired. */
export interface RunEnd {
  readonly reason: DrainReason | 'killed' | 'unauthenticated' | 'upgrade_required'
  readonly message?: string
  /** Claims that pond is still to hear of, by the next run; absent without any. */
  readonly owed?: number
}

export interface Swarm {
  /** Sweeps what a former life left, then polls until drained or refused. Call it once. */
  run(): Promise<RunEnd>
  /** No new jobs; running ones go on until done or the deadline, then they are terminated with cause `drained`. */
  drain(options?: { readonly deadlineMs?: number }): void
  /** Drains, and terminates all jobs now: SIGTERM, then SIGKILL. */
  cancelAll(): void
  /** Drains, and kills all jobs at once. What pond does not hear in a few seconds, the next run tells it. */
  killAll(): void
  /** Takes no new jobs, in the next run too. Rejects when that could not be kept; until this run ends it is paused all the same. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Looks at the owner's rules now, and not in a few seconds. */
  lookAtRules(): Promise<void>
  /** New keys of the binding and of all workers, signed by the old ones; and a new token. */
  rotateKeys(): Promise<Rotated>
  status(): SwarmStatus
  health(): SwarmHealth
}
