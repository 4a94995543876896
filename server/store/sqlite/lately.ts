// Rows that the writer put down lately, as they stand in its transaction: a job is read three times within a second of being written, and a row of so many
// columns costs more to read than to keep. There is one writer, so what it wrote last is what there is; what is undone is forgotten, and what has ended,
// for what is kept longer than for a moment moves into V8's old generation, and of that each few megabytes cost a full collection.
import type { ClaimId, JobId } from '../../../src/protocol/id.ts'
import { isFinal } from '../../../src/protocol/job.ts'
import { isLive } from '../../../src/state/lease.ts'
import type { ClaimRow, JobRow } from '../row.ts'

/** Of each kind, at least: twice as many at most, of which the older half goes at once. */
const ROWS_LEAST = 4096
/** Larger jobs are read again: kept, they could take gigabytes. */
const SPEC_BYTES_MOST = 4096
/** Likewise of what a claim tells of its streams. */
const STREAMS_MOST = 8

export class Lately {
  readonly #jobs = new Newest<JobId, JobRow>()
  /** A byte a character: a small Buffer would keep 8 KiB that it shares with others. */
  readonly #specs = new Newest<JobId, string>()
  readonly #claims = new Newest<ClaimId, ClaimRow>()

  job(id: JobId): JobRow | undefined {
    return this.#jobs.get(id)
  }

  spec(id: JobId): Buffer | undefined {
    const spec = this.#specs.get(id)
    return spec === undefined ? undefined : Buffer.from(spec, 'latin1')
  }

  claim(id: ClaimId): ClaimRow | undefined {
    return this.#claims.get(id)
  }

  insertedJob(row: JobRow, spec: Uint8Array): void {
    if (spec.byteLength > SPEC_BYTES_MOST) return
    this.#jobs.add(row.id, row)
    this.#specs.add(row.id, Buffer.from(spec.buffer, spec.byteOffset, spec.byteLength).toString('latin1'))
  }

  updatedJob(row: JobRow): void {
    if (!isFinal(row.law.state)) this.#jobs.replace(row.id, row)
    else {
      this.#jobs.delete(row.id)
      this.#specs.delete(row.id)
    }
  }

  insertedClaim(row: ClaimRow): void {
    this.#claims.add(row.id, row)
  }

  updatedClaim(row: ClaimRow): void {
    const isLong = row.streams && Object.keys(row.streams).length > STREAMS_MOST
    if (isLong || !isLive(row.lease.state)) this.#claims.delete(row.id)
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
