// What a job is given besides its spec.
import type { Plan } from '../executor/contract.ts'
import type { Cause, JobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import type { Secret } from './needle.ts'

export interface SupplyWish {
  readonly intent: Intent
  readonly job: JobSpec
  readonly signal: AbortSignal
}

export interface Supply {
  readonly env: Readonly<Record<string, string>>
  /** What is searched for in all that the job says. */
  readonly secrets: readonly Secret[]
  /** What its executor puts in place. */
  readonly plan: Partial<Plan>
  /** On every way out. */
  close(): Promise<void>
}

export interface SupplyRefused {
  readonly refused: {
    readonly cause: Extract<Cause, 'no_seal' | 'bundle_rejected' | 'bad_signature' | 'disk_full'>
    readonly message: string
  }
}

export const isRefused = (supply: Supply | SupplyRefused): supply is SupplyRefused => 'refused' in supply

export type FetchSupply = (wish: SupplyWish) => Promise<Supply | SupplyRefused | 'unsaid'>

const nothing: Supply = { env: {}, secrets: [], plan: {}, close: async () => {} }

export const fetchNothing: FetchSupply = async ({ intent }) =>
  intent.cred_request || intent.source_bundle
    ? { refused: { cause: 'no_seal', message: 'this swarm serves neither credentials nor bundles' } }
    : nothing
