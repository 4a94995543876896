// Who owns what: projects, keys, codes, bindings and workers, in the suite of the contract of a store.
import type { Test } from 'tap'
import type { Store } from '../../server/store/contract.ts'
import * as sample from './store-row.ts'

export async function projects(t: Test, store: Store): Promise<void> {
  const admin = sample.keyRow(2, { kind: 'admin', scopes: [], expiresAt: sample.at + 1 })
  const { projectId: _, ...adminKey } = admin
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(2))
    await tx.insertProject(sample.projectRow(1))
    await tx.insertKey(adminKey)
    await tx.insertKey(sample.keyRow(1))
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getProject(sample.projectIdOf(1)), sample.projectRow(1))
    t.strictSame(await tx.findProject('project 2'), sample.projectRow(2))
    t.strictSame(await tx.listProjects(), [sample.projectRow(1), sample.projectRow(2)])
    t.equal(await tx.getProject(sample.projectIdOf(3)), undefined)
    t.equal(await tx.findProject('nobody'), undefined)
    t.strictSame(await tx.getKey(adminKey.id), adminKey)
    t.strictSame(await tx.findKey(sample.keyRow(1).tokenHash), sample.keyRow(1))
    t.equal(await tx.findKey('f'.repeat(64)), undefined)
    t.equal(await tx.getKey(sample.keyIdOf(3)), undefined)
    t.strictSame(await tx.listKeys(), [sample.keyRow(1), adminKey])
  })
  const revoked = sample.keyRow(1, {
    name: 'old',
    scopes: ['credentials'],
    expiresAt: sample.at + 2,
    revokedAt: sample.at + 3,
  })
  await store.write((tx) => tx.updateKey(revoked))
  t.strictSame(await store.read((tx) => tx.getKey(revoked.id)), revoked)
  await store.write((tx) => tx.updateKey(sample.keyRow(1)))
  const heavy = sample.projectRow(2, { weight: 7 })
  await store.write((tx) => tx.updateProject(heavy))
  t.strictSame(await store.read((tx) => tx.getProject(heavy.id)), heavy)
  t.strictSame(await store.read((tx) => tx.getKey(revoked.id)), sample.keyRow(1), 'what is absent is taken away')
}

export async function pairing(t: Test, store: Store): Promise<void> {
  const ladder = { friends: [sample.projectIdOf(2)], public: true }
  const second = sample.codeRow(2, { ladder })
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertProject(sample.projectRow(2))
    await tx.insertCode(second)
    await tx.insertCode(sample.codeRow(1))
    for (const number of [2, 1]) await tx.insertBinding(sample.bindingRow(number))
    await tx.insertWorker(sample.workerRow(2, { bindingId: sample.bindingIdOf(2), projectId: sample.projectIdOf(2) }))
    await tx.insertWorker(sample.workerRow(1))
  })
  const code = sample.codeRow(1, { usesLeft: 0, triesLeft: 4, expiresAt: sample.at })
  const { revokedAt: _, ...active } = sample.bindingRow(1)
  const binding = {
    ...active,
    bindingKey: 'n'.repeat(43),
    state: 'revoked' as const,
    tokens: [sample.token('c'), { ...sample.token('d'), used: true }],
    revokedAt: sample.at,
    ladder,
  }
  const report = { inflight: 1, load: 0.25, version: '1.2.3', os: 'linux', state: 'draining' as const }
  const law = { state: 'probation' as const, mishaps: 3, pausedUntil: sample.at }
  const shownKeys = { sealingKey: 'u'.repeat(43), signingKey: 'v'.repeat(43) }
  const rotation = { payload: 'e30=', payloadType: 'x', signatures: [{ keyid: 'k', sig: 's' }] }
  const worker = sample.workerRow(1, {
    ...{ labels: {}, resources: { slots: 1 }, sealingKey: 't'.repeat(43), law, report, shownKeys },
    formerKeys: [
      { ...shownKeys, rotation },
      { ...shownKeys, rotation, until: sample.at },
    ],
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getCode(code.id), sample.codeRow(1))
    t.strictSame(await tx.listCodes(), [sample.codeRow(1), second])
    t.strictSame(await tx.getBinding(binding.id), sample.bindingRow(1))
    t.strictSame(await tx.findBinding(sample.codeIdOf(2), sample.bindingRow(2).bindingKey), sample.bindingRow(2))
    t.equal(await tx.findBinding(sample.codeIdOf(2), 'x'.repeat(43)), undefined)
    t.strictSame(await tx.listBindings(), [sample.bindingRow(1), sample.bindingRow(2)])
    t.strictSame(await tx.getWorker(worker.id), sample.workerRow(1))
    t.equal((await tx.listWorkers({})).length, 2)
    t.strictSame(await tx.listWorkers({ bindingId: sample.bindingIdOf(1) }), [sample.workerRow(1)])
    t.strictSame(
      (await tx.listWorkers({ projectId: sample.projectIdOf(2) })).map(({ id }) => id),
      [sample.workerIdOf(2)],
    )
    t.strictSame(await tx.listWorkers({ bindingId: sample.bindingIdOf(1), projectId: sample.projectIdOf(2) }), [])
    for (const none of [
      tx.getCode(sample.codeIdOf(9)),
      tx.getBinding(sample.bindingIdOf(9)),
      tx.getWorker(sample.workerIdOf(9)),
    ]) {
      t.equal(await none, undefined)
    }
  })
  await store.write(async (tx) => {
    await tx.updateCode(code)
    await tx.deleteCode(sample.codeIdOf(2))
    await tx.updateBinding(binding)
    await tx.updateWorker(worker)
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.listCodes(), [code])
    t.strictSame(await tx.getBinding(binding.id), binding)
    t.strictSame(await tx.getWorker(worker.id), worker)
  })
}

export async function enrollment(t: Test, store: Store): Promise<void> {
  const code = sample.codeRow(1, { bindingId: sample.bindingIdOf(1), fingerprint: 'abcd-ef01' })
  const worker = sample.workerRow(1, { codeId: code.id })
  await store.write(async (tx) => {
    await tx.insertProject(sample.projectRow(1))
    await tx.insertBinding(sample.bindingRow(1))
    await tx.insertCode(code)
    await tx.insertWorker(worker)
    await tx.updateCode({ ...code, usesLeft: 0 })
    await tx.updateWorker({
      ...worker,
      shownKeys: { sealingKey: 'x'.repeat(43), signingKey: 'y'.repeat(43) },
      drain: { at: sample.at, by: 'admin:key', deadlineAt: sample.at + 1, note: 'why', heardBy: 's', done: true },
    })
    await tx.updateWorker(worker)
  })
  t.strictSame(await store.read((tx) => tx.getCode(code.id)), { ...code, usesLeft: 0 })
  t.strictSame(await store.read((tx) => tx.getWorker(worker.id)), worker, 'what is absent is taken away')
}

/** A job that has every optional column. */
