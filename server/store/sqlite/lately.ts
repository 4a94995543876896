// Rows that the writer put down lately, as they stand in its transaction: a job is read three times within a second of being written, and a row of so many
// columns costs more to read than to keep. There is one writer, so what it wrote last is what there is; what is undone is forgotten.
import type { ClaimId, JobId } from '../../../src/protocol/id.ts'
import type { ClaimRow, JobRow } from '../row.ts'

/** Of each kind; the oldest go first. */
const ROWS_MOST = 8192
/** Larger jobs are read again: kept, they could take gigabytes. */
const SPEC_BYTES_MOST = 4096
/** Likewise of what a claim tells of its streams. */
const STREAMS_MOST = 8

export class Lately {
  readonly #jobs = new Map<JobId, JobRow>()
  readonly #specs = new Map<JobId, Buffer>()
  readonly #claims = new Map<ClaimId, ClaimRow>()

  job(id: JobId): JobRow | undefined {
    return this.#jobs.get(id)
  }

  spec(id: JobId): Buffer | undefined {
    return this.#specs.get(id)
  }

  claim(id: ClaimId): ClaimRow | undefined {
    return this.#claims.get(id)
  }

  insertedJob(row: JobRow, spec: Uint8Array): void {
    if (spec.byteLength > SPEC_BYTES_MOST) return
    keep(this.#jobs, row.id, row)
    keep(this.#specs, row.id, Buffer.from(spec))
  }

  updatedJob(row: JobRow): void {
    if (this.#jobs.has(row.id)) this.#jobs.set(row.id, row)
  }

  insertedClaim(row: ClaimRow): void {
    keep(this.#claims, row.id, row)
  }

  updatedClaim(row: ClaimRow): void {
    if (!this.#claims.has(row.id)) return
    if (Object.keys(row.streams ?? {}).length > STREAMS_MOST) this.#claims.delete(row.id)
    else this.#claims.set(row.id, row)
  }

  forget(): void {
    for (const rows of [this.#jobs, this.#specs, this.#claims]) rows.clear()
  }
}

function keep<K, V>(rows: Map<K, V>, key: K, row: V): void {
  rows.set(key, row)
  if (rows.size <= ROWS_MOST) return
  for (const oldest of rows.keys()) {
    rows.delete(oldest)
    return
  }
}
