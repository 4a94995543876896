// The part of a store's contract that is about what projects own sealed: credentials, recipients and bundles, and what a job names of them.
import type { Test } from 'tap'
import type { Store } from '../../server/store/contract.ts'
import type { BundleRow, CredentialRow } from '../../server/store/row.ts'
import type { BundleId } from '../../src/protocol/id.ts'
import * as sample from './store-row.ts'

const credentialRow = (name: string, row: Partial<CredentialRow> = {}): CredentialRow => ({
  projectId: sample.projectIdOf(1),
  name,
  recipients: ['a', 'b'],
  createdAt: sample.at,
  updatedAt: sample.at,
  ...row,
})

const bundleIdOf = (number: number) => `bdl_${String(number).padStart(26, '0')}` as BundleId
const digestOf = (number: number) => String(number).padStart(64, '0')

const bundleRow = (number: number, row: Partial<BundleRow> = {}): BundleRow => ({
  id: bundleIdOf(number),
  projectId: sample.projectIdOf(1),
  digest: digestOf(number),
  size: 2 ** 33,
  complete: false,
  createdAt: sample.at,
  usedAt: sample.at + number,
  ...row,
})

async function ground(store: Store): Promise<void> {
  await store.write(async (tx) => {
    for (const number of [1, 2]) await tx.insertProject(sample.projectRow(number))
  })
}

export async function credentials(t: Test, store: Store): Promise<void> {
  await ground(store)
  const [one, other] = [sample.projectIdOf(1), sample.projectIdOf(2)]
  await store.write(async (tx) => {
    await tx.putCredential(credentialRow('b', { signer: 'k' }), '{"b":1}')
    await tx.putCredential(credentialRow('a'), '{"a":"ü"}')
    await tx.putCredential(credentialRow('a', { projectId: other }), '{}')
    await tx.putRecipients(one, ['y', 'x'])
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getCredential(one, 'a'), credentialRow('a'))
    t.equal(await tx.getCustody(one, 'a'), '{"a":"ü"}')
    t.strictSame(await tx.listCredentials(one), [credentialRow('a'), credentialRow('b', { signer: 'k' })])
    t.equal(await tx.getCredential(other, 'b'), undefined)
    t.equal(await tx.getCustody(other, 'b'), undefined)
    t.strictSame(await tx.getRecipients(one), ['y', 'x'], 'in their order')
    t.strictSame(await tx.getRecipients(other), [])
    t.strictSame(await tx.getRecipients(sample.projectIdOf(9)), [])
    t.strictSame(await tx.getProject(one), sample.projectRow(1))
  })
  await store.write(async (tx) => {
    const later = { createdAt: sample.at + 1, updatedAt: sample.at + 1, recipients: [] }
    await tx.putCredential(credentialRow('b', later), '{"b":2}')
    await tx.deleteCredential(one, 'a')
    await tx.deleteCredential(one, 'nothing')
    await tx.putRecipients(one, [])
  })
  await store.read(async (tx) => {
    const replaced = credentialRow('b', { updatedAt: sample.at + 1, recipients: [] })
    t.strictSame(await tx.listCredentials(one), [replaced], 'replaced, its signer gone, its age kept')
    t.equal(await tx.getCustody(one, 'b'), '{"b":2}')
    t.equal((await tx.listCredentials(other)).length, 1)
    t.strictSame(await tx.getRecipients(one), [])
  })
  await t.rejects(store.write((tx) => tx.putRecipients(sample.projectIdOf(9), [])))
}

export async function bundles(t: Test, store: Store): Promise<void> {
  await ground(store)
  const { digest: _, ...nameless } = bundleRow(3, { size: 0 })
  const full = bundleRow(1, { custody: '{}', signer: 'k', complete: true, usedAt: sample.at + 9 })
  await store.write(async (tx) => {
    for (const row of [bundleRow(1), bundleRow(2), nameless, { ...nameless, id: bundleIdOf(4) }])
      await tx.insertBundle(row)
    await tx.insertBundle(bundleRow(5, { projectId: sample.projectIdOf(2), digest: digestOf(1) }))
    await tx.updateBundle(full)
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getBundle(full.id), full)
    t.strictSame(await tx.findBundle(full.projectId, digestOf(1)), full)
    t.equal((await tx.findBundle(sample.projectIdOf(2), digestOf(1)))?.id, bundleIdOf(5), 'each project has its own')
    t.equal(await tx.findBundle(full.projectId, digestOf(9)), undefined)
    t.equal(await tx.getBundle(bundleIdOf(9)), undefined)
    t.strictSame(await tx.sumBundles(full.projectId), { count: 4, bytes: 2 ** 34 })
    t.strictSame(await tx.sumBundles(sample.projectIdOf(9)), { count: 0, bytes: 0 })
    t.strictSame(await tx.listNameless(), [nameless, { ...nameless, id: bundleIdOf(4) }])
  })
  await store.write(async (tx) => {
    await tx.updateBundle({ ...nameless, digest: digestOf(3) })
    await tx.updateBundle(bundleRow(1))
    await tx.deleteBundle(bundleIdOf(4))
    await tx.deleteBundle(bundleIdOf(4))
  })
  await store.read(async (tx) => {
    t.strictSame(await tx.getBundle(full.id), bundleRow(1), 'what is absent is taken away')
    t.strictSame(await tx.listNameless(), [])
  })
  await t.rejects(
    store.write((tx) => tx.insertBundle(bundleRow(1, { digest: digestOf(77) }))),
    'the id is taken',
  )
  await t.rejects(
    store.write((tx) => tx.insertBundle(bundleRow(77, { digest: digestOf(1) }))),
    'the digest is taken',
  )
  await t.rejects(store.write((tx) => tx.updateBundle(bundleRow(77))))
}

export async function unusedBundles(t: Test, store: Store): Promise<void> {
  await ground(store)
  const naming = (number: number) => ({ bundle: { digest: digestOf(number), size: 2 ** 33 } })
  const ended = { law: { state: 'failed', end: { cause: 'exit', at: sample.at } } } as const
  const { digest: _, ...nameless } = bundleRow(6)
  await store.write(async (tx) => {
    for (const number of [4, 3, 2, 1, 5]) await tx.insertBundle(bundleRow(number))
    await tx.insertBundle(nameless)
    await tx.insertJob(sample.jobRow(1, naming(1)), sample.specOf(1))
    await tx.insertJob(sample.jobRow(2, { ...naming(2), ...ended }), sample.specOf(2))
    await tx.insertJob(sample.jobRow(3, { ...naming(3), projectId: sample.projectIdOf(2) }), sample.specOf(3))
  })
  const list = (at: number, limit: number) =>
    store.read(async (tx) => (await tx.listUnused(at, limit)).map(({ id }) => Number(id.slice(-2))))
  t.strictSame(await list(sample.at + 5, 10), [2, 3, 4], 'unnamed, or named by what ended or by another project')
  t.strictSame(await list(sample.at + 4, 1), [2])
  await store.write((tx) => tx.deleteJob(sample.jobIdOf(1)))
  t.strictSame(await list(sample.at + 100, 10), [1, 2, 3, 4, 5])
}

/** What a job names, and who signed it. */
export async function namingJobs(t: Test, store: Store): Promise<void> {
  await ground(store)
  const job = sample.jobRow(1, {
    credential: 'db',
    bundle: { digest: digestOf(1), size: 2 ** 33 },
    recipients: ['pond_recipient_1', 'pond_recipient_2'],
    signature: { keyid: 'k'.repeat(43), sig: 's' },
  })
  await store.write((tx) => tx.insertJob(job, sample.specOf(1)))
  t.strictSame(await store.read((tx) => tx.getJob(job.id)), job)
  const moved = { ...job, version: 2 }
  await store.write((tx) => tx.updateJob(moved))
  t.strictSame(await store.read((tx) => tx.getJob(job.id)), moved, 'an update leaves them')
}
