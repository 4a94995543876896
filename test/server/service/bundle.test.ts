// Bundles: uploads in pieces that survive everything, plain archives that are sealed while they come, and what goes with time.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Bundles } from '../../../server/service/bundle.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { openBox } from '../../../src/seal/box.ts'
import { readCustodyDetached, signSealed } from '../../../src/seal/envelope.ts'
import { openInline } from '../../../src/seal/open/envelope.ts'
import { loadSodium } from '../../../src/seal/sodium.ts'
import { submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig, type PondRigOptions } from '../../harness/pond.ts'
import { createSealer, digestOf, plainTar, type SealedBundle } from '../../harness/sealer.ts'

async function createRig(t: Test, options?: PondRigOptions) {
  const rig = await createPondRig(t, options)
  const sealer = await createSealer(rig)
  const put = ({ digest, size }: Pick<SealedBundle, 'digest' | 'size'>, offset: number, body: Uint8Array) =>
    rig.call('putBundle', { params: { digest }, query: { offset: `${offset}`, size: `${size}` }, body })
  const get = (digest: string) => rig.call('getBundle', { params: { digest } })
  const seal = (digest: string, body: unknown) => rig.call('sealBundle', { params: { digest }, body })
  const bundle = await sealer.bundle(Buffer.alloc(300_000, 'content'))
  const rows = () => rig.store.read(async (tx) => (await tx.listUnused(Number.MAX_SAFE_INTEGER, 100)).length)
  return { rig, sealer, put, get, seal, bundle, rows }
}

/** Files of bundles in pond's folder. */
async function bundleFiles({ folder }: PondRig): Promise<readonly string[]> {
  return (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('frames'))
}

t.test('an upload in pieces: repeats, gaps, a restart in its middle', async (t) => {
  const { rig, put, get, seal, bundle } = await createRig(t)
  const { digest, frames, size } = bundle
  t.equal((await get(digest)).code, 'not_found')
  t.match(await put(bundle, 10, frames.subarray(10)), { code: 'chunk_gap', error: { details: { committed: 0 } } })
  t.strictSame(await bundleFiles(rig), [])
  t.match((await put(bundle, 0, frames.subarray(0, 1000))).reply, { digest, committed: 1000, size, complete: false })
  t.match((await put(bundle, 0, frames.subarray(0, 1000))).reply, { committed: 1000 }, 'a repeat')
  t.match(await put(bundle, 1001, frames.subarray(1001)), {
    code: 'chunk_gap',
    error: { details: { committed: 1000 } },
  })
  await rig.restart()
  t.match(await get(digest), { reply: { committed: 1000 }, headers: { 'pond-committed': '1000' } })
  t.match((await put(bundle, 500, frames.subarray(500, 2000))).reply, { committed: 2000 }, 'an overlap')
  t.match((await put(bundle, 2000, new Uint8Array())).reply, { committed: 2000 }, 'nothing')
  t.match((await put(bundle, 2000, frames.subarray(2000))).reply, { committed: size, complete: true })
  t.match((await put(bundle, 0, frames.subarray(0, 5))).reply, { committed: size, complete: true }, 'once more')
  t.match((await seal(digest, bundle.custody)).reply, { complete: true, custody: 'pond' })
  await rig.restart()
  t.match((await get(digest)).reply, { committed: size, complete: true, custody: 'pond' })
})

t.test('HEAD says in a header how far it is', async (t) => {
  const { rig, put, bundle } = await createRig(t)
  await put(bundle, 0, bundle.frames.subarray(0, 1000))
  const head = (path: string) =>
    rig.pond.answer({
      method: 'HEAD',
      path,
      query: {},
      search: '',
      headers: { authorization: `Bearer ${rig.adminToken}` },
      signal: () => new AbortController().signal,
    })
  t.match(await head(`/v1/bundles/${bundle.digest}`), { status: 200, headers: { 'pond-committed': '1000' } })
  t.match(await head(`/v1/bundles/${'0'.repeat(64)}`), { status: 404 })
  t.match(await head('/v1/bundles'), { status: 405 })
})

t.test('several uploads of the same at once', async (t) => {
  const { put, get, bundle } = await createRig(t)
  const { frames, digest } = bundle
  const upload = async (step: number) => {
    for (let at = 0; at < frames.length; ) {
      const answer = await put(bundle, at, frames.subarray(at, at + step))
      if (answer.status !== 200) throw new Error(`${answer.code} at ${at}`)
      at = Math.max(at + step, answer.reply.committed)
    }
  }
  await Promise.all([upload(40_000), upload(70_000), upload(1_000_000)])
  t.match((await get(digest)).reply, { complete: true, committed: frames.length })
})

t.test('bytes of another digest go, and a fresh upload works', async (t) => {
  const { rig, put, get, bundle } = await createRig(t)
  const { frames, digest } = bundle
  const wrong = Buffer.from(frames)
  wrong.writeUInt8(wrong.readUInt8(5000) ^ 1, 5000)
  await put(bundle, 0, wrong.subarray(0, 10_000))
  t.match(await put(bundle, 10_000, frames.subarray(10_000)), { status: 422, code: 'digest_mismatch' })
  t.equal((await get(digest)).code, 'not_found')
  t.strictSame(await bundleFiles(rig), [])
  t.match((await put(bundle, 0, frames)).reply, { complete: true })
})

t.test('sizes: the first call fixes it, a piece ends inside, a piece has its limit, a project its share', async (t) => {
  const { rig, put, seal, bundle } = await createRig(t)
  const { frames, digest, size } = bundle
  const refused = (field: string) => ({ code: 'invalid_field', error: { details: { field } } })
  t.match(await put({ digest, size: 10 }, 0, frames), refused('offset'))
  await put(bundle, 0, frames.subarray(0, 10))
  t.match(await put({ digest, size: size + 1 }, 10, frames.subarray(10, 20)), refused('size'))
  t.match(await seal(digest, resized(bundle, size + 1)), refused('sealed.size'))
  const most = { digest: '0'.repeat(64), size: limit.bundleBytes }
  t.equal((await put(most, 0, Buffer.alloc(limit.bodyBytes + 1))).code, 'body_too_large')
  t.match(await put({ ...most, size: limit.bundleBytes + 1 }, 0, frames), refused('size'))
  rig.noRoom = true
  t.equal((await put(most, 0, frames)).code, 'disk_full')
  rig.noRoom = false
  const [projectId] = rig.pond.services.core.projects.keys()
  await rig.store.write(async (tx) => {
    const row = await tx.findBundle(projectId ?? ('' as never), digest)
    if (row) await tx.updateBundle({ ...row, size: limit.bundlesBytesMost - 100 })
  })
  t.match(await put({ digest: most.digest, size: 101 }, 0, Buffer.from('x')), { status: 507, code: 'disk_full' })
  t.equal((await put({ digest: most.digest, size: 100 }, 0, Buffer.from('x'))).status, 200)
})

function resized({ custody }: SealedBundle, size: number) {
  return 'sealed' in custody ? { sealed: { ...custody.sealed, size } } : custody
}

t.test('boxes: for this digest, this project, and readable for whom they say', async (t) => {
  const { rig, sealer, seal, get, put, bundle } = await createRig(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const foreign = await sealer.bundle(Buffer.from('x'), { project: 'other' })
  const other = await sealer.bundle(Buffer.from('y'))
  const { publicKey } = sealer.identity.sealing
  const client = await sealer.bundle(Buffer.from('z'), { to: [publicKey] })
  const before = await rig.dump()
  for (const [custody, field] of [
    [foreign.custody, 'sealed.context.project'],
    [other.custody, 'sealed.digest'],
    [client.custody, 'signed.digest'],
    [(await sealer.credential('db', {})) as unknown, 'sealed.digest'],
  ] as const) {
    t.match(await seal(bundle.digest, custody), { code: 'invalid_field', error: { details: { field } } })
  }
  t.strictSame(await rig.dump(), before)
  t.match((await seal(client.digest, client.custody)).reply, { committed: 0, complete: false, custody: 'client' })
  t.match((await put(client, 0, client.frames)).reply, {
    complete: true,
    custody: 'client',
    signer: sealer.signer.publicKey,
  })
  const anew = await sealer.bundle(Buffer.from('z'))
  t.equal((await seal(client.digest, anew.custody)).code, 'invalid_field', 'boxes of another sealing')
  t.equal((await get(anew.digest)).code, 'not_found')
})

t.test('boxes stay in the hands that they are in', async (t) => {
  const { rig, sealer, seal, put } = await createRig(t)
  const other = await createSealer(rig)
  const to = { to: [sealer.identity.sealing.publicKey] }
  const mine = await sealer.bundle(Buffer.from('z'), to)
  t.equal((await put(mine, 0, mine.frames)).status, 200)
  t.equal((await seal(mine.digest, mine.custody)).status, 200)
  const { digest, size } = mine
  const before = await rig.dump()
  const theirs = readCustodyDetached((await other.bundle(Buffer.from('z'), to)).custody).sealed
  const ponds = readCustodyDetached((await other.bundle(Buffer.from('z'))).custody).sealed
  for (const custody of [
    { signed: signSealed({ ...theirs, digest, size }, other.signer) },
    { sealed: { ...ponds, digest, size } },
  ]) {
    t.match(await seal(digest, custody), { code: 'exists', error: { details: { field: 'digest' } } })
  }
  t.strictSame(await rig.dump(), before)
  const pond = await sealer.bundle(Buffer.from('p'))
  t.equal((await seal(pond.digest, pond.custody)).status, 200)
  const taken = { ...theirs, digest: pond.digest, size: pond.size }
  t.equal((await seal(pond.digest, { signed: signSealed(taken, other.signer) })).code, 'exists', "nor pond's")
  const again = await sealer.bundle(Buffer.from('z'), to)
  const anew = { ...readCustodyDetached(again.custody).sealed, digest, size }
  t.equal((await seal(digest, { signed: signSealed(anew, sealer.signer) })).status, 200, 'their own signer may')
})

async function* pieces(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

t.test('a plain archive is sealed while it comes, and no byte of it is stored as it is', async (t) => {
  const { rig } = await createRig(t)
  const canary = 'canary-5f0c2a9e4b1d4c58-canary'
  const tar = plainTar(canary.repeat(40_000))
  const parts = Array.from({ length: Math.ceil(tar.length / 60_000) }, (_, at) =>
    tar.subarray(at * 60_000, (at + 1) * 60_000),
  )
  const { status, reply } = await rig.call('createBundle', { stream: pieces(...parts) })
  t.match({ status, reply }, { status: 201, reply: { complete: true, custody: 'pond' } })
  for (const path of await readdir(rig.folder, { recursive: true })) {
    const file = join(rig.folder, path)
    if ((await stat(file)).isFile()) t.notOk((await readFile(file)).includes(canary), path)
  }
  const { core } = rig.pond.services
  const [projectId] = core.projects.keys()
  const row = await rig.store.read((tx) => tx.findBundle(projectId ?? ('' as never), reply.digest))
  if (!row?.custody) throw new Error('it has boxes')
  const { sealed } = JSON.parse(row.custody)
  const frames = await rig.blobs.read({ claimId: row.id, name: 'frames' }, 0, reply.size)
  t.equal(digestOf(frames), reply.digest)
  const sodium = await loadSodium()
  const place = { kind: 'bundle', project: 'default' } as const
  const { key } = openBox(sodium, sealed, { pairs: core.keys.sealing, place })
  const inline = { ...sealed, frames: frames.toString('base64') }
  const opened = await openInline(sodium, inline, { key: Buffer.from(key, 'base64url'), place })
  t.ok(opened.equals(tar), 'and it opens to what came')
})

t.test('what is no archive, what is too long and what breaks off leave nothing', async (t) => {
  const { rig } = await createRig(t)
  const before = JSON.stringify(await rig.dump())
  const send = (stream: AsyncIterable<Uint8Array>) => rig.call('createBundle', { stream })
  const field = { code: 'invalid_field', error: { details: { field: 'body' } } }
  for (const body of ['', 'x', 'PK\u0003\u0004', 'x'.repeat(100_000)])
    t.match(await send(pieces(Buffer.from(body))), field)
  const gzip = Buffer.from('1f8b0800', 'hex')
  async function* breaksOff() {
    yield Buffer.concat([gzip, Buffer.alloc(3_000_000)])
    throw new Error('the line is dead')
  }
  t.equal((await send(breaksOff())).status, 500)
  const [projectId] = rig.pond.services.core.projects.keys()
  const full = { id: 'bdl_full' as never, projectId: projectId ?? ('' as never), digest: '0'.repeat(64) }
  await rig.store.write((tx) =>
    tx.insertBundle({ ...full, size: limit.bundlesBytesMost - 100_000, complete: true, createdAt: 1, usedAt: 1 }),
  )
  t.equal((await send(pieces(plainTar('x')))).code, 'body_too_large')
  await rig.store.write((tx) => tx.deleteBundle(full.id))
  rig.noRoom = true
  t.equal((await send(pieces(plainTar('x')))).code, 'disk_full')
  rig.noRoom = false
  t.equal(JSON.stringify(await rig.dump()), before)
  t.match((await send(pieces(gzip.subarray(0, 2), gzip.subarray(2)))).reply, { complete: true }, 'in small pieces')
})

t.test('what was being sealed when pond died is removed at the next start', async (t) => {
  const { rig } = await createRig(t)
  let go: () => void = () => {}
  const stuck = new Promise<void>((resolve) => {
    go = resolve
  })
  let asked: () => void = () => {}
  const waits = new Promise<void>((resolve) => {
    asked = resolve
  })
  async function* slow() {
    yield Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(3_000_000)])
    asked()
    await stuck
  }
  const upload = rig.call('createBundle', { stream: slow() })
  await waits
  t.equal((await bundleFiles(rig)).length, 1)
  await rig.restart()
  t.strictSame(await bundleFiles(rig), [])
  t.strictSame(await rig.store.read((tx) => tx.listNameless()), [])
  go()
  t.ok((await upload).status >= 500)
})

const removeUnused = (rig: PondRig) => (rig.pond.services.bundles as Bundles).removeUnused(100)

t.test('what nobody uses goes, and never what a live job names', async (t) => {
  const retentionMs = 100_000
  const { rig, sealer, put, get, bundle, rows } = await createRig(t, { settings: { retentionMs } })
  const needed = await sealer.upload(await sealer.bundle(Buffer.from('needed')))
  const unused = await sealer.upload(await sealer.bundle(Buffer.from('unused')))
  await put(bundle, 0, bundle.frames.subarray(0, 1000))
  const { id } = await submit(rig, { bundle: needed })
  t.equal(await rows(), 2, 'a live job names the third')
  await rig.clock.advance(retentionMs)
  await removeUnused(rig)
  t.equal((await get(unused)).status, 200, 'not yet')
  await rig.clock.advance(1)
  await removeUnused(rig)
  for (const digest of [unused, bundle.digest]) t.equal((await get(digest)).code, 'not_found')
  t.equal((await bundleFiles(rig)).length, 1)
  t.match((await get(needed)).reply, { complete: true })
  await rig.call('cancelJob', { params: { id } })
  await removeUnused(rig)
  t.equal((await get(needed)).code, 'not_found')
  t.strictSame(await bundleFiles(rig), [])
})
