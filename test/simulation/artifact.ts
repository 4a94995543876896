// A consumer who, when all is over, reads the files that its jobs left, and compares them with what their processes wrote.
import { createHash } from 'node:crypto'
import type { JobRow } from '../../server/store/row.ts'
import type { Client } from '../../src/client/contract.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import { specOf } from './checker.ts'
import type { Place } from './place.ts'
import { filesOf, type Run } from './program.ts'

export interface Reading {
  readonly place: Place
  readonly client: Client
  readonly rows: () => MemoryRows
  readonly runs: readonly Run[]
  /** The machine had power cuts or a faulty disk, so files may be lost. */
  readonly mishap: (host: string) => boolean
}

/** Of each job whose output is open. Names that stand in a sealed end are looked at where that is opened. */
export async function readArtifacts(reading: Reading): Promise<void> {
  const rows = reading.rows()
  for (const job of rows.jobs.values()) {
    const spec = specOf(rows, job.id)
    if (spec?.artifacts && !spec.recipients) await readOf(reading, job)
  }
}

async function readOf({ place, client, rows, runs, mishap }: Reading, { id }: JobRow): Promise<void> {
  const list = await client.persist('listArtifacts', { params: { id } })
  const run = list.ok && runs.find(({ plan }) => plan.claimId === list.reply.claim_id)
  if (!list.ok || !run) return
  const claim = rows().claims.get(list.reply.claim_id as never)
  const wrong = (path: string, what: string) =>
    place.violate('an_artifact_is_what_was_written', { job: id, claim: claim?.id, path, what })
  const missed = filesOf(run)
  for (const { path = '', sha256, problem } of list.reply.items) {
    if (problem !== undefined) continue
    const written = missed.get(path)
    const read = await client.persist('readArtifact', { params: { id, path } })
    missed.delete(path)
    if (!written || !read.ok) wrong(path, read.ok ? 'nobody wrote it' : read.error.code)
    else if (!written.equals(Buffer.from(read.reply as Buffer))) wrong(path, 'bytes')
    else if (sha256 !== digestOf(written)) wrong(path, 'digest')
    place.history.note('read_artifact', { claim: claim?.id, path, sha256 })
  }
  // With its own end every file came too.
  if (claim?.lease.state !== 'ended' || claim.cause !== 'exit' || mishap(run.host)) return
  for (const path of missed.keys()) wrong(path, 'missed')
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
