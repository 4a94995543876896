// Rows for tests of a store: each builder gives a whole valid row, and what a test cares about is passed in. No store here.
import type { ReadTx } from '../../server/store/contract.ts'
import {
  type AttestationRow,
  type AuditRow,
  type BindingRow,
  type BindingToken,
  type ClaimRow,
  type CodeRow,
  type IdempotencyRow,
  type JobRow,
  type KeyRow,
  type ProjectRow,
  type QueuedRow,
  queuedKinds,
  type TelemetryRow,
  type TransitionRow,
  type WorkerRow,
} from '../../server/store/row.ts'
import type { BindingId, ClaimId, CodeId, JobId, KeyId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { JobState } from '../../src/protocol/job.ts'
import { type Job, newJob } from '../../src/state/job.ts'
import { policyOf } from '../../src/state/retry.ts'
import { newWorker } from '../../src/state/worker.ts'

/** An id whose order is that of its number. */
const numbered = (prefix: string, number: number) => `${prefix}_${String(number).padStart(26, '0')}`

export const projectIdOf = (number: number) => numbered('prj', number) as ProjectId
export const keyIdOf = (number: number) => numbered('key', number) as KeyId
export const codeIdOf = (number: number) => numbered('cod', number) as CodeId
export const bindingIdOf = (number: number) => numbered('bnd', number) as BindingId
export const workerIdOf = (number: number) => numbered('wrk', number) as WorkerId
export const jobIdOf = (number: number) => numbered('job', number) as JobId
export const claimIdOf = (number: number) => numbered('clm', number) as ClaimId

/** A time past 32 bits, as real ones are. */
export const at = 1_795_000_000_000

export const projectRow = (number: number, row: Partial<ProjectRow> = {}): ProjectRow => ({
  id: projectIdOf(number),
  name: `project ${number}`,
  weight: 100,
  createdAt: at,
  ...row,
})

export const keyRow = (number: number, row: Partial<KeyRow> = {}): KeyRow => ({
  id: keyIdOf(number),
  kind: 'project',
  projectId: projectIdOf(1),
  name: `key ${number}`,
  tokenHash: String(number).padStart(64, 'a'),
  scopes: ['submit', 'read'],
  createdAt: at,
  ...row,
})

export const codeRow = (number: number, row: Partial<CodeRow> = {}): CodeRow => ({
  id: codeIdOf(number),
  projectId: projectIdOf(1),
  usesLeft: 1,
  triesLeft: 5,
  labels: { zone: 'a' },
  allowedLabels: { rack: { op: 'exists' }, tier: '1' },
  ephemeral: false,
  createdAt: at,
  expiresAt: at + 600_000,
  ...row,
})

export const token = (letter: string): BindingToken => ({
  hash: letter.repeat(64),
  expiresAt: at + 1,
  bindingKey: 'k'.repeat(43),
  pondKey: 'p'.repeat(43),
  used: false,
})

export const attestationRow = (id: string, row: Partial<AttestationRow> = {}): AttestationRow => ({
  id,
  workerId: workerIdOf(1),
  sealingKey: 's'.repeat(43),
  signingKey: 'g'.repeat(43),
  claims: [claimIdOf(2), claimIdOf(1)],
  text: '{}',
  ...row,
})

export const bindingRow = (number: number, row: Partial<BindingRow> = {}): BindingRow => ({
  id: bindingIdOf(number),
  projectId: projectIdOf(1),
  codeId: codeIdOf(number),
  name: `binding ${number}`,
  bindingKey: 'k'.repeat(43),
  state: 'active',
  tokens: [token('b')],
  ephemeral: true,
  createdAt: at,
  ...row,
})

export const workerRow = (number: number, row: Partial<WorkerRow> = {}): WorkerRow => ({
  id: workerIdOf(number),
  bindingId: bindingIdOf(1),
  projectId: projectIdOf(1),
  name: `worker ${number}`,
  sealingKey: 's'.repeat(43),
  signingKey: 'g'.repeat(43),
  labels: { zone: 'a', rack: '7' },
  ownLabels: ['rack'],
  resources: { slots: 4, cpus: 3.5, gpus: [{ uuid: 'GPU-1' }] },
  law: newWorker,
  createdAt: at,
  ...row,
})

export interface JobChoice extends Partial<Omit<JobRow, 'law'>> {
  readonly law?: Partial<Job>
}

export const jobRow = (number: number, { law, ...row }: JobChoice = {}): JobRow => ({
  id: jobIdOf(number),
  projectId: projectIdOf(1),
  law: { ...newJob(policyOf({ idempotent: true }), 'queued'), ...law },
  version: 1,
  priority: 5,
  needs: '{}',
  command: ['echo', `${number}`],
  labels: {},
  digest: 'd'.repeat(64),
  streamBytes: 2 ** 36,
  artifactBytes: 2 ** 37,
  createdAt: at,
  ...row,
})

export const inState = (state: JobState): JobChoice => ({ law: { state } })

export const specOf = (number: number) => Buffer.from(JSON.stringify({ command: ['echo', `${number}`] }))

export const claimRow = (number: number, row: Partial<ClaimRow> = {}): ClaimRow => ({
  id: claimIdOf(number),
  jobId: jobIdOf(1),
  projectId: projectIdOf(1),
  bindingId: bindingIdOf(1),
  workerId: workerIdOf(1),
  epoch: number,
  attempt: 1,
  claimKey: 'key of the poll',
  lease: { state: 'granted', holdMs: 0 },
  streamBytes: 2 ** 36,
  artifactBytes: 2 ** 37,
  held: { cpus: 0.5, gpus: ['GPU-1'] },
  claimedAt: at,
  orphan: false,
  ...row,
})

export const transitionRow = (version: number, row: Partial<TransitionRow> = {}): TransitionRow => ({
  jobId: jobIdOf(1),
  version,
  at: at + version,
  to: 'queued',
  by: keyIdOf(1),
  ...row,
})

export const idempotencyRow = (key: string, row: Partial<IdempotencyRow> = {}): IdempotencyRow => ({
  projectId: projectIdOf(1),
  key,
  digest: 'e'.repeat(64),
  jobIds: [jobIdOf(1), jobIdOf(2)],
  batch: true,
  createdAt: at,
  ...row,
})

export const telemetryRow = (id: string, row: Partial<TelemetryRow> = {}): TelemetryRow => ({
  jobId: jobIdOf(1),
  claimId: claimIdOf(1),
  id,
  type: 'progress',
  at,
  ...row,
})

export const auditRow = (number: number, row: Partial<AuditRow> = {}): AuditRow => ({
  id: numbered('aud', number),
  at,
  by: keyIdOf(1),
  action: 'project.create',
  target: projectIdOf(1),
  ...row,
})

/** All that is queued in these projects, in pages of two. */
export async function allQueued(tx: ReadTx, projects: readonly ProjectId[] = [projectIdOf(1), projectIdOf(2)]) {
  const rows: QueuedRow[] = []
  for (const projectId of projects) {
    for (const kind of queuedKinds) {
      for (let after: JobId | undefined, more = true; more; ) {
        const page = await tx.listQueued({ projectId, kind, limit: 2, ...(after === undefined ? {} : { after }) })
        rows.push(...page)
        after = page.at(-1)?.id
        more = page.length === 2
      }
    }
  }
  return rows
}
