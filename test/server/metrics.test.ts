// The figures of a pond as Prometheus reads them: each event counts once, each name is in the table, and nothing that anybody wrote is among them.
import t, { type Test } from 'tap'
import { type MetricRow, metricTable } from '../../server/metric.ts'
import { createMetrics } from '../../server/metrics.ts'
import { alarms } from '../../server/service/meter.ts'
import { standings } from '../../server/service/view.ts'
import { Refusal } from '../../src/protocol/error.ts'
import { causes, finalStates, type JobSpec, workerCauses } from '../../src/protocol/job.ts'
import { routeNames } from '../../src/protocol/route.ts'
import { finalWord, type Machine, pairMachine, submit } from '../harness/machine.ts'
import { createPondRig, type PondRigOptions } from '../harness/pond.ts'
import { listFiles, readText } from '../tidy/source.ts'

async function createMeasuredRig(t: Test, options: PondRigOptions = {}) {
  const metrics = createMetrics()
  const rig = await createPondRig(t, { ...options, metrics })
  const text = async () => (await metrics.read()).text
  /** The value of one line; `undefined` where there is none. */
  const read = async (line: string) => {
    const found = (await text()).split('\n').find((one) => one.startsWith(`${line} `))
    return found === undefined ? undefined : Number(found.slice(line.length + 1))
  }
  /** The values of these lines, by line. */
  const readAll = async (lines: Readonly<Record<string, number>>) =>
    Object.fromEntries(await Promise.all(Object.keys(lines).map(async (line) => [line, await read(line)])))
  const hold = async (t: Test, lines: Readonly<Record<string, number>>, says: string) =>
    t.strictSame(await readAll(lines), lines, says)
  return { metrics, rig, text, read, hold }
}

/** Without what prom-client tells of any process. */
const ours = (text: string) => text.split('\n').filter((line) => /^(# (TYPE|HELP) )?pond_/.test(line))

t.test('what waits and runs is told as it is, what happened as often as it did', async (t) => {
  const { rig, hold } = await createMeasuredRig(t)
  const box = await pairMachine(rig, { slots: 4 })
  const first = await submit(rig)
  await submit(rig, { requires: { os: 'plan9' } })
  await submit(rig, { after: [first.id] })
  const intent = await box.start()
  await rig.clock.advance(1000)
  const before = {
    ...{ 'pond_jobs{state="running"}': 1, 'pond_jobs{state="queued"}': 1, 'pond_jobs{state="waiting"}': 1 },
    ...{ 'pond_jobs{state="claimed"}': 0, 'pond_jobs{state="held"}': 0, 'pond_jobs{state="delayed"}': 0 },
    ...{ pond_queue_classes: 1, pond_jobs_submitted_total: 3, pond_claims_total: 1, pond_job_wait_seconds_count: 1 },
    ...{ 'pond_workers{state="online"}': 1, 'pond_workers{state="offline"}': 0, pond_polls_parked: 0 },
  }
  await hold(t, before, 'one runs')
  const polling = box.poll()
  await rig.clock.settle()
  await hold(t, { pond_polls_parked: 1 }, 'one polls')
  await box.say(intent, finalWord)
  await box.say(intent, finalWord)
  await polling
  await rig.call('cancelJob', { params: { id: (await rig.call('listJobs')).reply.items[1]?.id ?? '' }, body: {} })
  await hold(
    t,
    {
      ...{ 'pond_jobs{state="running"}': 0, 'pond_jobs{state="claimed"}': 1, 'pond_jobs{state="waiting"}': 0 },
      'pond_jobs_ended_total{state="succeeded",cause="exit"}': 1,
      'pond_jobs_ended_total{state="cancelled",cause="cancelled"}': 1,
      ...{ pond_job_run_seconds_count: 1, 'pond_job_run_seconds_bucket{le="1"}': 1, pond_claims_total: 2 },
    },
    'a word that is said twice counts once',
  )
  const stats = (await rig.call('getStats')).reply
  await hold(t, { 'pond_jobs{state="queued"}': stats.queued, 'pond_jobs{state="waiting"}': stats.waiting }, 'as stats')
  await rig.restart()
  await hold(t, { 'pond_jobs{state="claimed"}': 1, pond_jobs_submitted_total: 3 }, 'the state of the next life')
})

t.test('elements that never began end too, so that what was submitted and what ended add up', async (t) => {
  const { rig, hold } = await createMeasuredRig(t)
  const { id } = await submit(rig, { count: 50_000 })
  await submit(rig, { count: 50, ttl_ms: 1000 })
  await rig.call('cancelJob', { params: { id }, body: {} })
  await submit(rig, { count: 7, after: [id] })
  await rig.clock.advance(2000)
  await hold(
    t,
    {
      pond_jobs_submitted_total: 50_057,
      'pond_jobs_ended_total{state="cancelled",cause="cancelled"}': 50_000,
      'pond_jobs_ended_total{state="expired",cause="ttl"}': 50,
      'pond_jobs_ended_total{state="failed",cause="dependency"}': 7,
      'pond_jobs{state="queued"}': 0,
    },
    'each once',
  )
})

t.test('every worker is told in one state', async (t) => {
  const { rig, text, hold } = await createMeasuredRig(t)
  const boxes = [
    await pairMachine(rig),
    await pairMachine(rig, { letter: 'l' }),
    await pairMachine(rig, { letter: 'm' }),
  ]
  for (const box of boxes) await box.take()
  const [first, second] = boxes
  await rig.call('cordonWorker', { params: { id: first?.workerId ?? '' }, body: {} })
  await rig.call('drainWorker', { params: { id: second?.workerId ?? '' }, body: {} })
  const lines = { 'pond_workers{state="cordoned"}': 1, 'pond_workers{state="draining"}': 1 }
  await hold(t, { ...lines, 'pond_workers{state="online"}': 1 }, 'an order is seen')
  const counts = [...(await text()).matchAll(/^pond_workers\{state="\w+"\} (\d+)$/gm)].map(([, count]) => Number(count))
  t.equal(counts.length, 8)
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    boxes.length,
  )
})

t.test('claims that come back, and leases that ran out', async (t) => {
  const { rig, hold } = await createMeasuredRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const [unheard] = await box.take()
  t.ok(unheard)
  for (let second = 0; second < 16; second++) await rig.clock.advance(1000)
  const [declined] = await box.take()
  if (declined) await box.say(declined, { state: 'declined', cause: 'refused' })
  await hold(
    t,
    { 'pond_claims_returned_total{reason="unconfirmed"}': 1, 'pond_claims_returned_total{reason="refused"}': 1 },
    'both ways back',
  )
  await hold(t, { pond_leases_expired_total: 0 }, 'neither was silent for a lease')
  const other = await pairMachine(rig, { letter: 'l' })
  await other.start()
  for (let second = 0; second < 95; second++) await rig.clock.advance(1000)
  await hold(
    t,
    { pond_leases_expired_total: 1, 'pond_jobs_ended_total{state="failed",cause="worker_lost"}': 1 },
    'a worker that fell silent',
  )
})

t.test('what the store and the streams took', async (t) => {
  const { rig, read, hold, metrics } = await createMeasuredRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'hello' })
  await box.send(intent, { offset: 0, bytes: 'hello' })
  await box.send(intent, { offset: 3, bytes: 'lo world' })
  await hold(t, { pond_chunk_bytes_total: 11 }, 'what is sent again is stored once')
  const [commits, works] = [
    await read('pond_store_commit_seconds_count'),
    await read('pond_store_works_per_commit_sum'),
  ]
  t.ok((commits ?? 0) > 3)
  await Promise.all([submit(rig), submit(rig)])
  t.equal(await read('pond_store_works_per_commit_sum'), (works ?? 0) + 2)
  t.ok(((await read('pond_store_commit_seconds_count')) ?? 0) > (commits ?? 0))
  t.ok(((await read('pond_store_commit_seconds_sum')) ?? 0) > 0)
  metrics.store.failed('full')
  await hold(
    t,
    { 'pond_store_failures_total{reason="full"}': 1, 'pond_store_failures_total{reason="fsync"}': 0 },
    'zeros stand there from the start on',
  )
})

t.test('calls count by the name of their route, and are timed unless they wait', async (t) => {
  const { rig, hold, read } = await createMeasuredRig(t)
  const { id } = await submit(rig)
  await rig.call('getJob', { params: { id } })
  const waiting = rig.call('getJob', { params: { id }, query: { wait_ms: '1000' } })
  await rig.clock.advance(1000)
  await waiting
  await rig.call('getJob', { params: { id: 'job_secret' } })
  await rig.call('submitJob', { body: { command: [] } })
  await rig.call('listJobs', { token: 'pond_key_wrong' })
  const { pond } = rig
  for (const path of ['/v1/secret', '/', '/v1/jobs/a/b/c/d'])
    await pond.answer({ ...rig.request('healthz'), path, method: 'GET' })
  await pond.answer({ ...rig.request('healthz'), method: 'BREW' })
  pond.refuse(new Error('no request'))
  pond.refuse(new Refusal('body_too_large', 'too large'), { method: 'POST', path: '/v1/jobs' })
  const box = await pairMachine(rig)
  await box.take()
  const events = await rig.open('followJobs')
  t.equal(events.status, 200)
  await rig.call('readStream', { params: { id, name: 'stdout' }, query: { follow: '1' } })
  await rig.call('createBundle', { stream: (async function* () {})() })
  await hold(
    t,
    {
      'pond_http_requests_total{route="submitJob",status="201"}': 1,
      'pond_http_requests_total{route="submitJob",status="422"}': 1,
      'pond_http_requests_total{route="submitJob",status="413"}': 1,
      'pond_http_requests_total{route="getJob",status="200"}': 2,
      'pond_http_requests_total{route="getJob",status="404"}': 1,
      'pond_http_requests_total{route="listJobs",status="401"}': 1,
      'pond_http_requests_total{route="other",status="404"}': 3,
      'pond_http_requests_total{route="other",status="405"}': 1,
      'pond_http_requests_total{route="other",status="500"}': 1,
      'pond_http_requests_total{route="poll",status="200"}': 1,
      'pond_http_request_seconds_count{route="submitJob"}': 2,
      'pond_http_request_seconds_count{route="getJob"}': 2,
    },
    'by name',
  )
  for (const route of ['poll', 'followJobs', 'readStream', 'createBundle'])
    t.equal(await read(`pond_http_request_seconds_count{route="${route}"}`), undefined, `${route} waits by its nature`)
  const refused = await read('pond_http_requests_total{route="other",status="422"}')
  t.equal(refused, undefined, 'a refusal counts under its route alone')
})

t.test('a poll of another session is an alarm, an entry like any other is none', async (t) => {
  const { rig, hold, text } = await createMeasuredRig(t)
  const box = await pairMachine(rig)
  const polling = box.poll()
  await rig.clock.settle()
  box.session = 'session-2'
  t.equal((await box.poll()).code, 'session_conflict')
  await rig.clock.advance(1000)
  await polling
  await hold(t, { 'pond_alarms_total{action="poll.session_conflict"}': 1 }, 'it counts')
  t.notMatch(await text(), /pairing\.create|binding\.create/)
  const services = listFiles().filter((path) => path.startsWith('server/service/') && !path.endsWith('/meter.ts'))
  const code = services.map(readText).join('\n')
  t.strictSame(
    alarms.filter((action) => !code.includes(`'${action}'`)),
    [],
    'each is written by a service',
  )
})

/** Everything that anybody may write, as one text that is found again. */
const CANARY = 'canary7f3a'

async function liveThroughAll(t: Test) {
  const measured = await createMeasuredRig(t)
  const { rig } = measured
  await rig.call('createProject', { body: { name: CANARY } })
  await rig.call('createKey', { body: { name: CANARY, project: CANARY, scopes: ['submit', 'read'] } })
  const box: Machine = await pairMachine(rig, { name: CANARY, project: CANARY, slots: 2 })
  const project = { 'pond-project': CANARY }
  const job: JobSpec = {
    command: [`/bin/${CANARY}`, CANARY],
    env: { CANARY },
    input: CANARY,
    labels: { [CANARY]: CANARY },
    artifacts: [`${CANARY}/*`],
  }
  await submit(rig, { ...job, requires: { labels: { [CANARY]: { op: 'exists' } } } }, project)
  const { id } = await submit(rig, { ...job, idempotent: true }, { ...project, 'idempotency-key': CANARY })
  await rig.call('listJobs', { query: { label: `${CANARY}=${CANARY}` }, headers: project })
  await rig.call('getJob', { params: { id: CANARY } })
  await rig.call('readStream', { params: { id, name: CANARY } })
  await rig.pond.answer({ ...rig.request('healthz'), path: `/${CANARY}`, search: `?${CANARY}=${CANARY}` })
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: CANARY })
  await box.say(intent, { ...finalWord, rc: 1, message: CANARY })
  await submit(rig, job, project)
  const [declined] = await box.take()
  if (declined) await box.say(declined, { state: 'declined', cause: 'refused', message: CANARY })
  await rig.call('revokeBinding', { params: { id: box.bindingId }, body: {} })
  const ids = [id, box.bindingId, box.workerId, intent.claim_id]
  return { ...measured, ids, dump: JSON.stringify(await rig.dump()) }
}

t.test('nothing that a consumer or a machine wrote is in the figures', async (t) => {
  const { text, ids, dump } = await liveThroughAll(t)
  const page = await text()
  t.match(dump, CANARY, 'pond has it')
  for (const secret of [CANARY, ...ids]) t.notMatch(page, secret)
  t.notMatch(page, /\b(job|prj|key|bnd|wrk|clm|crd|cod|aud|req)_[0-9A-HJKMNP-TV-Z]{10}/i, 'nor any id')
  const allowed: Readonly<Record<string, readonly string[]>> = {
    state: [...['waiting', 'queued', 'delayed', 'claimed', 'running', 'held', ...finalStates], ...standings],
    cause: causes,
    reason: ['unconfirmed', 'declined', ...workerCauses, 'full', 'fsync', 'other'],
    route: [...routeNames, 'other'],
    action: alarms,
  }
  for (const line of ours(page)) {
    for (const [, label = '', value = ''] of line.matchAll(/(\w+)="([^"]*)"/g)) {
      const isNumber = label === 'le' || label === 'status'
      if (isNumber) t.match(value, /^(\+Inf|[\d.]+)$/, line)
      else t.ok(allowed[label]?.includes(value), line)
    }
  }
})

t.test('every figure is in the table, with its kind and its labels, and each of the table is told', async (t) => {
  const { text } = await liveThroughAll(t)
  const lines = ours(await text())
  const told = new Map<string, string>()
  for (const line of lines) {
    const [, name, type] = /^# TYPE (\w+) (\w+)$/.exec(line) ?? []
    if (name !== undefined && type !== undefined) told.set(name, type)
  }
  const rows = Object.entries<MetricRow>(metricTable)
  t.strictSame(Object.fromEntries(told), Object.fromEntries(rows.map(([name, { type }]) => [name, type])))
  for (const line of lines.filter((one) => !one.startsWith('#'))) {
    const [, name = ''] = /^(\w+)/.exec(line) ?? []
    const row = rows.find(([known]) => name.replace(/_(bucket|sum|count)$/, '') === known || name === known)?.[1]
    const labels = [...line.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== 'le')
    t.strictSame(labels, [...(row?.labels ?? ['not in the table'])], line)
  }
  for (const [name, { type }] of rows) {
    t.equal(name.endsWith('_total'), type === 'counter', `${name}: what only rises says so in its name`)
  }
})

t.test('what any process has is told too', async (t) => {
  const { text } = await createMeasuredRig(t)
  for (const name of ['process_cpu_seconds_total', 'nodejs_heap_size_used_bytes', 'nodejs_eventloop_lag_p99_seconds'])
    t.match(await text(), new RegExp(`^${name} `, 'm'))
})
