// Rows that the writer put down lately, as they stand in its transaction: a job is read three times within a second of being written, and a row of so many
// columns costs more to read than to keep. There is one writer, so what it wrote last is what there is; what is undone is forgotten.
import type { ClaimId, JobId } from '../../../src/protocol/id.ts'
import type { ClaimRow, JobRow } from '../row.ts'

/** Of each kind, at least: twice as many at most, of which the older half goes at once. */
const ROWS_LEAST = 4096
/** Larger jobs are read again: kept, they could take gigabytes. */
const SPEC_BYTES_MOST = 4096
/** Likewise of what a claim tells of its streams. */
const STREAMS_MOST = 8

export class Lately {
  readonly #jobs = new Newest<JobId, JobRow>()
  readonly #specs = new Newest<JobId, Buffer>()
  readonly #claims = new Newest<ClaimId, ClaimRow>()

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
    this.#jobs.add(row.id, row)
    this.#specs.add(row.id, Buffer.from(spec))
  }

  updatedJob(row: JobRow): void {
    this.#jobs.replace(row.id, row)
  }

  insertedClaim(row: ClaimRow): void {
    this.#claims.add(row.id, row)
  }

  updatedClaim(row: ClaimRow): void {
    if (row.streams && Object.keys(row.streams).length > STREAMS_MOST) this.#claims.delete(row.id)
    else this.#claims.replace(row.id, row)
  }

  forget(): void {
    for (const rows of [this.#jobs, this.#specs, this.#claims]) rows.clear()
  }
}

/** Two maps of which the older is dropped whole: to look for the oldest entry of one costs more the more went before. */
class Newest<K, V> {
  #young = new Map<K, V>()
  #old = new Map<K, V>()

  get(key: K): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  add(key: K, value: V): void {
    if (this.#young.size === ROWS_LEAST) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }

  replace(key: K, value: V): void {
    if (this.#young.has(key)) this.#young.set(key, value)
    else if (this.#old.has(key)) this.#old.set(key, value)
  }

  delete(key: K): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }
}
