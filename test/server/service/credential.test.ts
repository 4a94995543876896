// Credentials and recipients of a project: what is taken, what is refused with which field, and that no value comes back.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Custody } from '../../../src/protocol/sealed.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { makeSealingPair } from '../../../src/seal/key.ts'
import { printKey } from '../../../src/seal/key-text.ts'
import { finalWord, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSealer } from '../../harness/sealer.ts'

const put = (rig: PondRig, name: string, body: unknown) => rig.call('putCredential', { params: { name }, body })

const auditOf = async (rig: PondRig, prefix: string) =>
  (await rig.call('listAudit')).reply.items.filter(({ action }) => action.startsWith(prefix))

t.test('created, shown without its values, replaced, deleted', async (t) => {
  const rig = await createPondRig(t)
  const { credential, signer } = await createSealer(rig)
  const worker = await makeSealingPair()
  const { keys } = rig.pond.services.core
  const first = await put(rig, 'db', await credential('db', { env: { PASSWORD: 'hunter2' } }))
  const pondPrint = fingerprint(keys.sealing[0].publicKey)
  t.match(first, { status: 200, reply: { name: 'db', project: 'default', custody: 'pond', recipients: [pondPrint] } })
  await rig.clock.advance(1000)
  const second = await put(rig, 'db', await credential('db', { env: {} }, { to: [worker.publicKey] }))
  t.match(second.reply, {
    custody: 'client',
    signer: signer.publicKey,
    recipients: [fingerprint(worker.publicKey)],
    created_at: first.reply.created_at,
    updated_at: first.reply.updated_at + 1000,
  })
  t.strictSame((await rig.call('getCredential', { params: { name: 'db' } })).reply, second.reply)
  await put(rig, 'a b', await credential('a b', {}))
  const { items } = (await rig.call('listCredentials')).reply
  t.strictSame(
    items.map(({ name }) => name),
    ['a b', 'db'],
  )
  t.notMatch(JSON.stringify([first.reply, items]), /frames|boxes|payload/)
  t.equal((await rig.call('deleteCredential', { params: { name: 'db' } })).status, 200)
  for (const name of ['getCredential', 'deleteCredential'] as const) {
    t.equal((await rig.call(name, { params: { name: 'db' } })).code, 'not_found')
  }
  const audit = (await auditOf(rig, 'credential.')).map(({ action }) => action)
  t.strictSame(audit, ['credential.delete', 'credential.put', 'credential.put', 'credential.put'])
})

t.test('what is not for this place, or not as it says, is refused and nothing is stored', async (t) => {
  const rig = await createPondRig(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const { credential, bundle, signer } = await createSealer(rig)
  const stranger = await createSealer(rig)
  const { publicKey } = await makeSealingPair()
  const own = await credential('db', {})
  const signed = await credential('db', {}, { to: [publicKey] })
  if (!('sealed' in own) || !('signed' in signed)) throw new Error('one for pond, one signed')
  const foreign = await stranger.credential('db', {}, { to: [publicKey] })
  if (!('signed' in foreign)) throw new Error('it is signed')
  const elsewhere = { ...own.sealed, context: { ...own.sealed.context, project: 'other' } }
  const unsigned = JSON.parse(Buffer.from(signed.signed.payload, 'base64').toString())
  const bad = Buffer.from(signed.signed.signatures[0]?.sig ?? '', 'base64').fill(1, 0, 8)
  const keyid = signer.publicKey
  const rows: readonly (readonly [says: string, body: unknown, field: string])[] = [
    ["A's envelope under project B", await credential('db', {}, { project: 'other' }), 'sealed.context.project'],
    ['the same, signed', await credential('db', {}, { project: 'other', to: [publicKey] }), 'signed.context.project'],
    ['another name', await credential('db2', {}), 'sealed.context.name'],
    ['the context alone says this project', { sealed: elsewhere }, 'sealed.context.project'],
    [
      'the box is of another place',
      { sealed: { ...(await sealedOf(credential('x', {}))), context: own.sealed.context } },
      'sealed.boxes',
    ],
    ['sealed to another pond', { sealed: unsignedOf(unsigned) }, 'sealed.boxes'],
    ['a signer, and no signature', { sealed: unsigned }, 'sealed'],
    [
      'a flipped signature',
      { signed: { ...signed.signed, signatures: [{ keyid, sig: bad.toString('base64') }] } },
      'signed',
    ],
    ["another's signature", { signed: { ...signed.signed, signatures: foreign.signed.signatures } }, 'signed'],
    ["another's key over the own payload", { signed: { ...foreign.signed, payload: signed.signed.payload } }, 'signed'],
    ['another type', { signed: { ...signed.signed, payloadType: 'text/plain' } }, 'signed'],
    ['a bundle', (await bundle(Buffer.from('x'))).custody, 'sealed.frames'],
    ['neither', {}, 'body'],
  ]
  const before = await rig.dump()
  for (const [says, body, field] of rows) {
    t.match(await put(rig, 'db', body), { status: 422, error: { code: 'invalid_field', details: { field } } }, says)
  }
  t.strictSame(await rig.dump(), before)
})

async function sealedOf(custody: Promise<Custody>) {
  const it = await custody
  if (!('sealed' in it)) throw new Error('it is in pond’s custody')
  return it.sealed
}

/** What was signed, as if it had never named its signer. */
function unsignedOf(sealed: { context: { signer?: string } }) {
  const { signer: _, ...context } = sealed.context
  return { ...sealed, context }
}

t.test('a flipped bit in a box is told now', async (t) => {
  const rig = await createPondRig(t)
  const sealed = await sealedOf((await createSealer(rig)).credential('db', {}))
  const [box] = sealed.boxes
  if (!box) throw new Error('it has a box')
  const bytes = Buffer.from(box.box, 'base64url')
  for (let at = 0; at < bytes.length; at += 7) {
    const flipped = Buffer.from(bytes)
    flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at)
    const answer = await put(rig, 'db', {
      sealed: { ...sealed, boxes: [{ ...box, box: flipped.toString('base64url') }] },
    })
    t.match(answer, { code: 'invalid_field', error: { details: { field: 'sealed.boxes' } } })
  }
})

t.test('a project has so many and no more', async (t) => {
  const rig = await createPondRig(t)
  const { credential } = await createSealer(rig)
  const { core } = rig.pond.services
  const [projectId] = core.projects.keys()
  if (!projectId) throw new Error('there is a project')
  const row = { projectId, recipients: [], createdAt: 1, updatedAt: 1 }
  await rig.store.write(async (tx) => {
    for (let n = 0; n < limit.credentialsPerProject; n++) await tx.putCredential({ ...row, name: `c${n}` }, '{}')
  })
  t.match(await put(rig, 'more', await credential('more', {})), { code: 'invalid_field' })
  t.equal((await put(rig, 'c1', await credential('c1', {}))).status, 200, 'replacing one is no more')
})

t.test('recipients of a project', async (t) => {
  const rig = await createPondRig(t)
  const keys = [await makeSealingPair(), await makeSealingPair()]
  const texts = keys.map(({ publicKey }) => printKey('recipient', publicKey))
  const [one = '', other = ''] = texts
  const send = (recipients: readonly string[]) => rig.call('putRecipients', { body: { recipients } })
  t.strictSame((await rig.call('getRecipients')).reply, { project: 'default', recipients: [] })
  t.strictSame((await send(texts)).reply, { project: 'default', recipients: texts })
  t.strictSame((await rig.call('getRecipients')).reply, { project: 'default', recipients: texts })
  await send(texts)
  t.match(await auditOf(rig, 'recipients.'), [{ note: keys.map(({ publicKey }) => fingerprint(publicKey)).join(' ') }])
  for (const [list, field] of [
    [[one, `${other.slice(0, -1)}${other.endsWith('A') ? 'B' : 'A'}`], 'recipients.1'],
    [[one, other, one], 'recipients.2'],
    [[printKey('signer', keys[0]?.publicKey ?? '')], 'recipients.0'],
    [[keys[0]?.publicKey ?? ''], 'recipients.0'],
  ] as const) {
    t.match(await send(list), { code: 'invalid_field', error: { details: { field } } })
    const job = { command: ['true'], recipients: list }
    t.match(await rig.call('submitJob', { body: job }), { code: 'invalid_field', error: { details: { field } } })
  }
  t.strictSame((await rig.call('getRecipients')).reply, { project: 'default', recipients: texts })
  t.match((await rig.call('submitJob', { body: { command: ['true'], recipients: [one] } })).reply, {
    recipients: [one],
  })
  await send([])
  t.strictSame((await rig.call('getRecipients')).reply, { project: 'default', recipients: [] })
})

t.test('whoami names the keys that consumers pin, and a proof that they are of one pond', async (t) => {
  const rig = await createPondRig(t)
  const { pond } = (await rig.call('whoami')).reply
  const { keys } = rig.pond.services.core
  t.match(pond, { signing_key: keys.publicKey, sealing_key: keys.sealing[0].publicKey })
  t.strictSame(pond.proofs, keys.proofs)
  await rig.restart()
  t.strictSame((await rig.call('whoami')).reply.pond, pond)
})

t.test('no private key and no token is in what a backup without them holds', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  await box.say(intent, finalWord)
  const { tokenKey, sealing } = rig.pond.services.core.keys
  const secrets = { tokenKey: Buffer.from(tokenKey), sealing: Buffer.from(sealing[0].privateKey, 'base64url') }
  const texts = { binding: box.token, claim: intent.claim_token, admin: rig.adminToken }
  const forms = [
    ...Object.entries(secrets).flatMap(([name, bytes]) =>
      [bytes, ...(['hex', 'base64url'] as const).map((form) => bytes.toString(form))].map((it) => [name, it] as const),
    ),
    ...Object.entries(texts),
  ]
  let files = 0
  for (const path of await readdir(rig.folder, { recursive: true })) {
    const file = join(rig.folder, path)
    if (['pond-key.json', 'admin-token'].includes(path) || !(await stat(file)).isFile()) continue
    files++
    const bytes = await readFile(file)
    for (const [name, form] of forms) t.notOk(bytes.includes(form), `${name} in ${path}`)
  }
  t.ok(files >= 2)
})

t.test('no value of a credential is anywhere in the data folder', async (t) => {
  const rig = await createPondRig(t)
  const { credential } = await createSealer(rig)
  const canary = 'canary-5f0c2a9e4b1d4c58-canary'
  await put(rig, 'db', await credential('db', { env: { PASSWORD: canary }, files: { key: btoa(canary) } }))
  let files = 0
  for (const path of await readdir(rig.folder, { recursive: true })) {
    const file = join(rig.folder, path)
    if (!(await stat(file)).isFile()) continue
    files++
    const bytes = await readFile(file)
    for (const needle of [canary, btoa(canary)]) t.notOk(bytes.includes(needle), path)
  }
  t.ok(files >= 2)
})
