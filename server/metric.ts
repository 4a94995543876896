// The figures that pond shows at /metrics: the table from which they are made and the page is printed. Every label has its values from a closed list.

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly says: string
  readonly labels: readonly string[]
  /** Upper ends, in the unit that stands in the name. */
  readonly buckets?: readonly number[]
}

/** From a millisecond to a day: a job may wait or run for either. */
const jobSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400]
/** From an fsync that reaches no platter to a disk that stalls. */
const commitSeconds = [
  ...[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01],
  ...[0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
]
const callSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** A group has at most 256. */
const groupSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]

export const metricTable = {
  pond_jobs: {
    type: 'gauge',
    labels: ['state'],
    says: 'Jobs that have not ended: waiting (for others), queued, delayed (for their next attempt), claimed, running, held.',
  },
  pond_queue_classes: { type: 'gauge', labels: [], says: 'Kinds of requirements among the queued jobs.' },
  pond_jobs_submitted_total: {
    type: 'counter',
    labels: [],
    says: 'Jobs that were submitted; of an array each element.',
  },
  pond_jobs_ended_total: {
    type: 'counter',
    labels: ['state', 'cause'],
    says: 'Jobs that ended, by their final state and its cause; elements of arrays that never began too.',
  },
  pond_job_wait_seconds: { type: 'histogram', labels: [], buckets: jobSeconds, says: 'From the queue to a claim.' },
  pond_job_run_seconds: {
    type: 'histogram',
    labels: [],
    buckets: jobSeconds,
    says: 'From the start of the process to the end of the job.',
  },
  pond_workers: {
    type: 'gauge',
    labels: ['state'],
    says: 'Workers: online, paused, cordoned, draining, away (silent, still waited for), offline, quarantined, revoked.',
  },
  pond_polls_parked: { type: 'gauge', labels: [], says: 'Polls that wait for a job.' },
  pond_claims_total: { type: 'counter', labels: [], says: 'Claims that were granted.' },
  pond_claims_returned_total: {
    type: 'counter',
    labels: ['reason'],
    says: 'Claims that came back unstarted: unconfirmed in time, or declined, with the cause where the worker said one.',
  },
  pond_leases_expired_total: {
    type: 'counter',
    labels: [],
    says: 'Leases that ended because a worker was silent for the whole of it.',
  },
  pond_store_commit_seconds: {
    type: 'histogram',
    labels: [],
    buckets: commitSeconds,
    says: 'The commit of one group of writes, with its fsync.',
  },
  pond_store_works_per_commit: {
    type: 'histogram',
    labels: [],
    buckets: groupSizes,
    says: 'Writes that shared a commit.',
  },
  pond_store_failures_total: {
    type: 'counter',
    labels: ['reason'],
    says: 'Groups of writes, or single ones, that were not stored: full (no room), fsync (pond ends), other.',
  },
  pond_chunk_bytes_total: { type: 'counter', labels: [], says: 'Bytes of output that were stored for good.' },
  pond_http_requests_total: {
    type: 'counter',
    labels: ['route', 'status'],
    says: 'Calls, by the name of their route (`other`: none) and the status of the reply.',
  },
  pond_http_request_seconds: {
    type: 'histogram',
    labels: ['route'],
    buckets: callSeconds,
    says: 'From a whole call to its reply; without polls, uploads, and calls that wait or follow.',
  },
  pond_alarms_total: {
    type: 'counter',
    labels: ['action'],
    says: 'Entries of the audit log that somebody should look at.',
  },
} as const satisfies Readonly<Record<string, MetricRow>>

export type MetricName = keyof typeof metricTable
