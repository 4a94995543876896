// When a job that waits for others may go on, as the manual says it and not as the product computes it.
import { isFinal, type JobSpec } from '../../src/protocol/job.ts'
import type { MemoryRows } from '../harness/memory-store.ts'

/** All that it waits for ended as it needs. */
export function isReleased(rows: MemoryRows, spec: JobSpec | undefined): boolean {
  return (spec?.after ?? []).every((after) => {
    const { job, on } = typeof after === 'string' ? { job: after, on: 'success' } : after
    const state = rows.jobs.get(job)?.law.state
    return state !== undefined && isFinal(state) && (on === 'end' || state === 'succeeded')
  })
}
