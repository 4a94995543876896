// Adoption: a person takes the late result of an attempt that pond had given up for the job's own. It decides what is read; the end of the job stands.
import type { JobView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { JobId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import type { WriteTx } from '../store/contract.ts'
import type { ClaimRow, JobRow } from '../store/row.ts'
import { changeJob } from './change.ts'
import type { Core } from './core.ts'
import { findJob, type Scope } from './job.ts'
import { viewJob } from './view.ts'

interface Asked {
  readonly scope: Scope
  readonly id: JobId
  readonly attempt: number
  readonly by: string
}

/** A repeat changes nothing; another orphan of the same job is refused. */
export async function adoptAttempt(core: Core, { scope, id, attempt, by }: Asked): Promise<JobView> {
  const row = await core.store.write(async (tx) => {
    const row = await findJob(tx, scope, id)
    if (!isFinal(row.law.state)) throw refuse(`the job is ${row.law.state} and may still end by itself`, row)
    const orphan = await findOrphan(tx, row, attempt)
    const { id: claimId, cause, rc } = orphan
    if (cause === undefined) throw new Error(`the final word of ${claimId} has a cause`)
    const event = { type: 'adopt', claimId, attempt, by, cause, ...(rc === undefined ? {} : { rc }) } as const
    const who = { by, claimId, note: `adopted attempt ${attempt}` }
    const next = await changeJob({ core, tx }, { row: await pointTo(tx, row, orphan), event, who })
    if (!('refused' in next)) return next
    if (next.refused === 'unchanged') return row
    throw refuse(`attempt ${row.law.adopted?.attempt} of the job was adopted already`, row)
  })
  return viewJob(core, row)
}

async function findOrphan(tx: WriteTx, row: JobRow, attempt: number): Promise<ClaimRow> {
  const claim = (await tx.listClaims(row.id)).findLast((it) => it.confirmedAt !== undefined && it.attempt === attempt)
  if (!claim) throw new Refusal('not_found', `the job has no attempt ${attempt}`, { reason: 'no_attempt' })
  if (claim.orphan) return claim
  throw refuse(`attempt ${attempt} left no late result beside the job; it is ${claim.lease.state}`, row)
}

/** Result and statement of the orphan stand where those of the job stood. */
async function pointTo(tx: WriteTx, row: JobRow, { id, attestationId }: ClaimRow): Promise<JobRow> {
  const { resultClaimId: _result, attested: _attested, ...rest } = row
  return {
    ...rest,
    ...((await tx.getResult(id)) === undefined ? {} : { resultClaimId: id }),
    ...(attestationId === undefined ? {} : { attested: true }),
  }
}

function refuse(message: string, { law }: JobRow): Refusal {
  return new Refusal('not_possible', message, { state: law.state, adopted: law.adopted?.attempt })
}
