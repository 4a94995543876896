// The contract of a store as one suite: every adapter runs it. What is special to an adapter is tested beside the adapter.
import type { Test } from 'tap'
import type { Store, StoreEvents, WriteTx } from '../../server/store/contract.ts'
import { elementId } from '../../src/protocol/id.ts'
import { leaseStates } from '../../src/state/lease.ts'
import { deadLetters } from './store-dead.ts'
import { storeGroups } from './store-group.ts'
import { dependencies, elements, goneBindings, jobLists, jobSweeps, stops } from './store-list.ts'
import { enrollment, pairing, projects } from './store-pool.ts'
import * as sample from './store-row.ts'
import { bundles, credentials, namingJobs, unusedBundles } from './store-sealed.ts'
import { endedJobs, projectQuota, usedSince } from './store-use.ts'

/** Opens an empty store; `events` are the suite's. */
export type OpenStore = (t: Test, events: StoreEvents) => Store
/** The same, to be closed with the test, and with nothing fatal expected. */
export type FreshStore = (t: Test) => Store

export function storeSuite(t: Test, open: OpenStore): void {
  const fresh: FreshStore = (sub) => {
    const store = open(sub, { fatal: (error) => sub.fail('the store is well', { found: error }) })
    sub.teardown(() => store.close())
    return store
  }
  t.test('projects and keys', (t) => projects(t, fresh(t)))
  t.test('codes, bindings and workers', (t) => pairing(t, fresh(t)))
  t.test('enrollment codes and enrolled workers', (t) => enrollment(t, fresh(t)))
  t.test('a job and its exact bytes', (t) => jobs(t, fresh(t)))
  t.test('jobs are listed newest first', (t) => jobLists(t, fresh(t)))
  t.test('jobs are listed for the start and for the sweep', (t) => jobSweeps(t, fresh(t)))
  t.test('arrays and their elements', (t) => elements(t, fresh(t)))
  t.test('what a project may use', (t) => projectQuota(t, fresh(t)))
  t.test('jobs that ended, with what their attempts used', (t) => endedJobs(t, fresh(t)))
  t.test('what attempts used since a time', (t) => usedSince(t, fresh(t)))
  t.test('dead letters', (t) => deadLetters(t, fresh(t)))
  t.test('which job waits for which', (t) => dependencies(t, fresh(t)))
  t.test('machines that came for one run go with all that is theirs', (t) => goneBindings(t, fresh(t)))
  t.test('what is stopped', (t) => stops(t, fresh(t)))
  t.test('claims', (t) => claims(t, fresh(t)))
  t.test('what a job names, and who signed it', (t) => namingJobs(t, fresh(t)))
  t.test('credentials and recipients', (t) => credentials(t, fresh(t)))
  t.test('bundles', (t) => bundles(t, fresh(t)))
  t.test('bundles that nobody uses', (t) => unusedBundles(t, fresh(t)))
  t.test('transitions, results, telemetry, idempotency, audit', (t) => records(t, fresh(t)))
  t.test('deleteJob leaves nothing', (t) => deletion(t, fresh(t)))
  t.test('an insert of an id that exists rejects, and so does an update of one that does not', (t) =>
    strictness(t, fresh(t)),
  )
  storeGroups(t, fresh, open)
}

/** A project, a binding and two jobs, for rows that need them. */
async function ground(tx: WriteTx): Promise<void> {
  await tx.insertProject(sample.projectRow(1))
  await tx.insertBinding(sample.bindingRow(1))
  await tx.insertJob(sample.jobRow(1), sample.specOf(1))
  await tx.insertJob(sample.jobRow(2), sample.specOf(2))
}

const fullJob = () =>
  sample.jobRow(1, {
    labels: { app: 'demo', 'a/b': '' },
    version: 7,
    expiresAt: sample.at + 1,
    startedAt: sample.at + 2,
    workerId: sample.workerIdOf(1),
    message: 'no room',
    usage: { cpu_ms: 1.5, max_rss_bytes: 2 ** 33, wall_ms: 3, sampled: true },
    resultClaimId: sample.claimIdOf(1),
    attested: true,
    law: {
      state: 'failed',
      epoch: 2,
      attempts: 1,
      claimId: sample.claimIdOf(1),
      notBefore: sample.at,
      cancel: { at: 0, by: 'someone' },
      end: { cause: 'exit', rc: 0, at: sample.at },
      passedOver: { [sample.workerIdOf(2)]: sample.at },
    },
  })

async function jobs(t: Test, store: Store): Promise<void> {
  await store.write(ground)
  await store.read(async (tx) => {
    t.strictSame(await tx.getJob(sample.jobIdOf(1)), sample.jobRow(1))
    const spec = await tx.getSpec(sample.jobIdOf(1))
    t.ok(Buffer.isBuffer(spec))
    t.strictSame(spec, sample.specOf(1), 'the exact bytes')
    t.equal(await tx.getJob(sample.jobIdOf(9)), undefined)
    t.equal(await tx.getSpec(sample.jobIdOf(9)), undefined)
  })
  const { labels: _, ...full } = fullJob()
  const changed = { ...full, labels: {} }
  await store.write((tx) => tx.updateJob(changed))
  t.strictSame(await store.read((tx) => tx.getJob(changed.id)), changed)
  await store.write((tx) => tx.updateJob(sample.jobRow(1)))
  t.strictSame(await store.read((tx) => tx.getJob(changed.id)), sample.jobRow(1), 'what is absent is taken away')
  const withEnd = sample.jobRow(3, { law: { state: 'expired', end: { cause: 'ttl', at: sample.at } } })
  await store.write((tx) => tx.insertJob(withEnd, Buffer.alloc(300_000, 1)))
  t.strictSame(await store.read((tx) => tx.getJob(withEnd.id)), withEnd, 'an end without rc')
  t.equal((await store.read((tx) => tx.getSpec(withEnd.id)))?.length, 300_000)
}

async function claims(t: Test, store: Store): Promise<void> {
  await store.write(ground)
  const full = sample.claimRow(1, {
    lease: { state: 'held', holdMs: 5, heldUntil: sample.at, finalDigest: 'f'.repeat(64) },
    confirmedAt: sample.at,
    startedAt: sample.at + 1,
    endedAt: sample.at + 2,
    cause: 'exit',
    rc: 0,
    message: 'done',
    usage: { cpu_ms: 0.5, max_rss_bytes: 1, wall_ms: 2, sampled: false },
    streams: { stdout: { bytes: 1, sha256: 'a'.repeat(64), produced: 1, end: 'complete' } },
    artifacts: [
      { stream: 'artifact/0', path: 'out/ü.txt' },
      { path: '*.csv', problem: 'missing' },
    ],
    attestationId: 'att_1',
    orphan: true,
  })
  await store.write(async (tx) => {
    for (const [index, state] of leaseStates.entries()) {
      await tx.insertClaim(sample.claimRow(10 + index, { epoch: 10 - index, lease: { state, holdMs: 0 } }))
    }
    await tx.insertClaim(sample.claimRow(1, { jobId: sample.jobIdOf(2) }))
    await tx.updateClaim({ ...full, jobId: sample.jobIdOf(2) })
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getClaim(full.id), { ...full, jobId: sample.jobIdOf(2) })
    t.equal(await tx.getClaim(sample.claimIdOf(99)), undefined)
    const epochs = (await tx.listClaims(sample.jobIdOf(1))).map(({ epoch }) => epoch)
    t.strictSame(
      epochs,
      [...epochs].sort((one, other) => one - other),
      'oldest first',
    )
    t.equal(epochs.length, leaseStates.length)
  })
  const live = async () => (await store.read((tx) => tx.listLiveClaims())).map(({ id }) => id)
  t.strictSame(await live(), [], 'no job says so')
  const [first, second, element] = [sample.claimIdOf(1), sample.claimIdOf(11), sample.claimIdOf(20)]
  const part = elementId(sample.jobIdOf(1), 0)
  await store.write(async (tx) => {
    await tx.updateJob(sample.jobRow(1, { law: { state: 'running', claimId: second } }))
    await tx.updateJob(sample.jobRow(2, { law: { state: 'claimed', claimId: first } }))
    await tx.insertElement({ ...sample.jobRow(1, { law: { state: 'running', claimId: element } }), id: part })
    await tx.insertClaim(sample.claimRow(20, { jobId: part }))
  })
  t.strictSame(await live(), [first, second, element])
  await store.write(async (tx) => {
    await tx.updateClaim(sample.claimRow(1, { jobId: sample.jobIdOf(2), lease: { state: 'ended', holdMs: 0 } }))
    await tx.updateJob(sample.jobRow(2))
  })
  t.strictSame(await live(), [second, element])
  t.equal((await store.read((tx) => tx.getClaim(full.id)))?.rc, undefined, 'what is absent is taken away')
}

async function records(t: Test, store: Store): Promise<void> {
  await store.write(ground)
  const moved = sample.transitionRow(2, {
    from: 'queued',
    to: 'failed',
    cause: 'exit',
    note: 'n',
    claimId: sample.claimIdOf(1),
  })
  await store.write(async (tx) => {
    await tx.insertTransition(moved)
    await tx.insertTransition(sample.transitionRow(1))
    await tx.insertClaim(sample.claimRow(1))
    await tx.putResult(sample.claimIdOf(1), '{"first":1}')
    await tx.putResult(sample.claimIdOf(1), '{"second":"ü"}')
    await tx.insertAttestation(sample.attestationRow('att_1', { text: '{"ü":1}' }))
    await tx.insertIdempotency(sample.idempotencyRow('one'))
    await tx.insertIdempotency(sample.idempotencyRow('two', { createdAt: sample.at + 1, batch: false, jobIds: [] }))
    for (const number of [1, 3, 2]) await tx.insertAudit(sample.auditRow(number, number === 2 ? { note: 'why' } : {}))
    t.equal(await tx.insertTelemetry(sample.telemetryRow('b', { data: { step: 1, deep: [null] } })), true)
    t.equal(await tx.insertTelemetry(sample.telemetryRow('a')), true)
    t.equal(await tx.insertTelemetry(sample.telemetryRow('a', { type: 'other' })), false, 'an event is kept once')
    t.equal(await tx.insertTelemetry(sample.telemetryRow('a', { claimId: sample.claimIdOf(2) })), true, 'per claim')
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.listTransitions(sample.jobIdOf(1)), [sample.transitionRow(1), moved])
    t.equal(await tx.getResult(sample.claimIdOf(1)), '{"second":"ü"}')
    t.equal(await tx.getResult(sample.claimIdOf(2)), undefined)
    t.strictSame(await tx.getAttestation('att_1'), sample.attestationRow('att_1', { text: '{"ü":1}' }))
    t.equal(await tx.getAttestation('att_2'), undefined)
    t.strictSame(await tx.getIdempotency(sample.projectIdOf(1), 'one'), sample.idempotencyRow('one'))
    t.equal(await tx.getIdempotency(sample.projectIdOf(2), 'one'), undefined)
    const events = await tx.listTelemetry(sample.jobIdOf(1), 2)
    t.strictSame(events, [sample.telemetryRow('b', { data: { step: 1, deep: [null] } }), sample.telemetryRow('a')])
    t.equal(await tx.countTelemetry(sample.claimIdOf(1)), 2)
    const audit = [sample.auditRow(3), sample.auditRow(2, { note: 'why' }), sample.auditRow(1)]
    t.strictSame(await tx.listAudit(10), audit)
    t.strictSame(await tx.listAudit(1, sample.auditRow(3).id), audit.slice(1, 2))
  })
  await store.write((tx) => tx.deleteIdempotency(sample.at + 1))
  await store.read(async (tx) => {
    t.equal(await tx.getIdempotency(sample.projectIdOf(1), 'one'), undefined)
    t.ok(await tx.getIdempotency(sample.projectIdOf(1), 'two'), 'before, not at')
  })
}

async function deletion(t: Test, store: Store): Promise<void> {
  const labels = { app: 'demo', zone: 'a' }
  const fill = (number: number) => async (tx: WriteTx) => {
    const jobId = sample.jobIdOf(number)
    await tx.insertJob(sample.jobRow(number, { labels }), sample.specOf(number))
    await tx.insertAttestation(sample.attestationRow(`att_${number}`))
    await tx.insertClaim(sample.claimRow(number, { jobId }))
    await tx.updateClaim(sample.claimRow(number, { jobId, attestationId: `att_${number}` }))
    await tx.insertTransition(sample.transitionRow(1, { jobId }))
    await tx.insertDependency({ jobId, otherId: sample.jobIdOf(9), on: 'end' })
    await tx.putResult(sample.claimIdOf(number), '{}')
    await tx.insertTelemetry(sample.telemetryRow('a', { jobId, claimId: sample.claimIdOf(number) }))
  }
  const traces = (number: number) =>
    store.read(async (tx) => {
      const jobId = sample.jobIdOf(number)
      const byLabel = await tx.listJobs({ label: { key: 'app', value: 'demo' }, limit: 10 })
      return [
        await tx.getJob(jobId),
        await tx.getSpec(jobId),
        await tx.getClaim(sample.claimIdOf(number)),
        (await tx.listClaims(jobId))[0],
        (await tx.listTransitions(jobId))[0],
        (await tx.listDependencies(jobId, 1))[0],
        await tx.getResult(sample.claimIdOf(number)),
        await tx.getAttestation(`att_${number}`),
        (await tx.listTelemetry(jobId, 1))[0],
        (await tx.countTelemetry(sample.claimIdOf(number))) || undefined,
        byLabel.find(({ id }) => id === jobId),
        (await sample.allQueued(tx)).find(({ id }) => id === jobId),
      ]
    })
  await store.write((tx) => tx.insertProject(sample.projectRow(1)))
  await store.write(fill(1))
  await store.write(fill(2))
  t.notOk((await traces(1)).includes(undefined), 'all of it is there')
  await store.write((tx) => tx.deleteJob(sample.jobIdOf(1)))
  t.ok(
    (await traces(1)).every((trace) => trace === undefined),
    'nothing of it is left',
  )
  t.notOk((await traces(2)).includes(undefined), 'its neighbour is untouched')
  await store.write((tx) => tx.deleteJob(sample.jobIdOf(1)))
  await store.write(fill(1))
  t.notOk((await traces(1)).includes(undefined), 'the same id may come back')
  await store.write((tx) => tx.updateClaim(sample.claimRow(2, { jobId: sample.jobIdOf(2), attestationId: 'att_1' })))
  await store.write((tx) => tx.deleteJob(sample.jobIdOf(1)))
  const statement = () => store.read((tx) => tx.getAttestation('att_1'))
  t.ok(await statement(), 'a statement stays as long as one claim of it does')
  await store.write((tx) => tx.deleteJob(sample.jobIdOf(2)))
  t.equal(await statement(), undefined)
}

async function strictness(t: Test, store: Store): Promise<void> {
  await store.write(ground)
  const inserts: Record<string, (tx: WriteTx) => Promise<unknown>> = {
    project: (tx) => tx.insertProject(sample.projectRow(1)),
    'project name': (tx) => tx.insertProject(sample.projectRow(2, { name: 'project 1' })),
    key: (tx) => tx.insertKey(sample.keyRow(1)),
    code: (tx) => tx.insertCode(sample.codeRow(1)),
    binding: (tx) => tx.insertBinding(sample.bindingRow(1)),
    worker: (tx) => tx.insertWorker(sample.workerRow(1)),
    job: (tx) => tx.insertJob(sample.jobRow(1), sample.specOf(1)),
    claim: (tx) => tx.insertClaim(sample.claimRow(1)),
    epoch: (tx) => tx.insertClaim(sample.claimRow(99, { epoch: 1 })),
    transition: (tx) => tx.insertTransition(sample.transitionRow(1)),
    idempotency: (tx) => tx.insertIdempotency(sample.idempotencyRow('one')),
    audit: (tx) => tx.insertAudit(sample.auditRow(1)),
  }
  for (const [name, insert] of Object.entries(inserts)) {
    const twice = store.write(async (tx) => {
      await insert(tx).catch(() => {})
      await insert(tx)
    })
    await t.rejects(twice, Error, name)
    if (name === 'claim') await store.write((tx) => tx.insertClaim(sample.claimRow(1)))
  }
  const updates: Record<string, (tx: WriteTx) => Promise<unknown>> = {
    project: (tx) => tx.updateProject(sample.projectRow(9)),
    key: (tx) => tx.updateKey(sample.keyRow(9)),
    code: (tx) => tx.updateCode(sample.codeRow(9)),
    binding: (tx) => tx.updateBinding(sample.bindingRow(9)),
    worker: (tx) => tx.updateWorker(sample.workerRow(9)),
    job: (tx) => tx.updateJob(sample.jobRow(9)),
    claim: (tx) => tx.updateClaim(sample.claimRow(9)),
  }
  for (const [name, update] of Object.entries(updates)) await t.rejects(store.write(update), Error, name)
}
