// What a swarm tells of itself, on its socket and to `swarm status`.
import type { Resources, WorkerClass } from '../protocol/field.ts'

export type SwarmState = 'starting' | 'ready' | 'paused' | 'draining' | 'ended'

export interface SwarmStatus {
  readonly state: SwarmState
  /** Why it takes no jobs; absent while it does, and when it drains. */
  readonly note?: string
  readonly class: WorkerClass
  readonly pond: string
  readonly project: string
  readonly name: string
  readonly binding_id: string
  /** This host's own worker. */
  readonly worker_id: string
  /** Of its keys, as pond shows it. */
  readonly fingerprint: string
  readonly version: string
  readonly os: string
  readonly arch: string
  readonly executor: string
  readonly rung: string
  readonly sandbox: string
  readonly allow_unsandboxed: boolean
  /** Of all workers. */
  readonly slots: number
  readonly free: number
  readonly workers: readonly {
    readonly worker_id: string
    readonly name: string
    readonly fingerprint: string
    readonly slots: number
    readonly free: number
    /** What is for its jobs in all. */
    readonly resources: Resources
    readonly state: 'ready' | 'draining'
  }[]
  readonly healthy: boolean
  /** Milliseconds since pond last answered a poll; absent before the first. */
  readonly since_poll_ms?: number
  /** Polls in a row whose whole time passed without any reply. */
  readonly missed_holds: number
  /** The longest that a poll is asked to be held: less than pond would, where something between cuts or forgets earlier. */
  readonly hold_ms: number
  /** Pond's clock minus ours. */
  readonly skew_ms: number
  /** Claims of this life that ended too late for their jobs: pond keeps what they brought, and a person may adopt it. */
  readonly orphans: readonly { readonly claim_id: string; readonly job_id: string }[]
  readonly claims: readonly {
    readonly claim_id: string
    readonly job_id: string
    readonly state: string
    readonly started_at?: number
  }[]
}
