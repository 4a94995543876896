// What happens in a pond, as figures for Prometheus. The one place that knows prom-client; loaded only where somebody asks for /metrics.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { MetricName, MetricRow } from './metric.ts'
import { metricTable } from './metric.ts'
import { alarms, type Meter } from './service/meter.ts'
import type { Services } from './service/pond.ts'
import { lookNow } from './service/stats.ts'
import { standings } from './service/view.ts'
import type { StoreEvents } from './store/contract.ts'

/** What is asked when the figures are read. */
type Watched = Pick<Services, 'core' | 'polls'>

export interface MetricsPage {
  readonly contentType: string
  readonly text: string
}

export interface Metrics {
  /** For the parts of a pond. */
  readonly meter: Meter
  /** For its store. */
  readonly store: Required<Pick<StoreEvents, 'committed' | 'failed'>>
  /** The pond whose state of now is told. */
  watch(services: Watched): void
  read(): Promise<MetricsPage>
}

/** How the table calls what a job is while it has a live claim. */
const jobStateOf = { granted: 'claimed', confirmed: 'running', held: 'held' } as const

export function createMetrics(): Metrics {
  const registry = new Registry()
  const set = createSet(registry)
  collectDefaultMetrics({ register: registry })
  let watched: Watched | undefined
  return {
    meter: createMeter(set),
    store: {
      committed(works, tookMs) {
        set.commitSeconds.observe(tookMs / 1000)
        set.worksPerCommit.observe(works)
      },
      failed: (reason) => set.storeFailures.inc({ reason }),
    },
    watch(services) {
      watched = services
    },
    async read() {
      if (watched) look(set, watched)
      return { contentType: registry.contentType, text: await registry.metrics() }
    },
  }
}

type MetricSet = ReturnType<typeof createSet>

/** Figures with few values stand there as zeros from the start on, so that a first event shows as a rise. */
function createSet(registry: Registry) {
  const config = (name: MetricName) => {
    const { says: help, labels }: MetricRow = metricTable[name]
    return { name, help, labelNames: [...labels], registers: [registry] }
  }
  const counter = (name: MetricName) => new Counter(config(name))
  const gauge = (name: MetricName) => new Gauge(config(name))
  const histogram = (name: MetricName) => {
    const { buckets = [] }: MetricRow = metricTable[name]
    return new Histogram({ ...config(name), buckets: [...buckets] })
  }
  const set = {
    jobs: gauge('pond_jobs'),
    classes: gauge('pond_queue_classes'),
    submitted: counter('pond_jobs_submitted_total'),
    ended: counter('pond_jobs_ended_total'),
    waitSeconds: histogram('pond_job_wait_seconds'),
    runSeconds: histogram('pond_job_run_seconds'),
    workers: gauge('pond_workers'),
    parked: gauge('pond_polls_parked'),
    claims: counter('pond_claims_total'),
    returned: counter('pond_claims_returned_total'),
    lapsed: counter('pond_leases_expired_total'),
    commitSeconds: histogram('pond_store_commit_seconds'),
    worksPerCommit: histogram('pond_store_works_per_commit'),
    storeFailures: counter('pond_store_failures_total'),
    chunkBytes: counter('pond_chunk_bytes_total'),
    requests: counter('pond_http_requests_total'),
    requestSeconds: histogram('pond_http_request_seconds'),
    alarms: counter('pond_alarms_total'),
  }
  for (const action of alarms) set.alarms.inc({ action }, 0)
  for (const reason of ['full', 'fsync', 'other']) set.storeFailures.inc({ reason }, 0)
  return set
}

function createMeter(set: MetricSet): Meter {
  return {
    submitted: (jobs) => set.submitted.inc(jobs),
    claimed(waitMs) {
      set.claims.inc()
      set.waitSeconds.observe(waitMs / 1000)
    },
    ended(state, cause, ranMs) {
      set.ended.inc({ state, cause })
      if (ranMs !== undefined) set.runSeconds.observe(ranMs / 1000)
    },
    dropped: (jobs, state, cause) => set.ended.inc({ state, cause }, jobs),
    returned: (reason) => set.returned.inc({ reason }),
    lapsed: () => set.lapsed.inc(),
    stored: (bytes) => set.chunkBytes.inc(bytes),
    answered(route, status, tookMs) {
      set.requests.inc({ route, status })
      if (tookMs !== undefined) set.requestSeconds.observe({ route }, tookMs / 1000)
    },
    audited: (action) => set.alarms.inc({ action }),
  }
}

function look(set: MetricSet, services: Watched): void {
  const { queued, delayed, waiting, classes, claims, workers, polls_parked } = lookNow(services)
  for (const [state, count] of Object.entries({ queued, delayed, waiting })) set.jobs.set({ state }, count)
  for (const [lease, state] of Object.entries(jobStateOf)) set.jobs.set({ state }, claims[lease] ?? 0)
  for (const state of standings) set.workers.set({ state }, workers[state] ?? 0)
  set.classes.set(classes.length)
  set.parked.set(polls_parked)
}
