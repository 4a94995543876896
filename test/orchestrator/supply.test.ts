// What a job is given: only what its own bytes name, only from the pinned pond, only for this claim; and nothing of it stays.
import t from 'tap'
import type { CallError } from '../../src/client/contract.ts'
import { openBundleCache } from '../../src/orchestrator/bundle-cache.ts'
import { openHome } from '../../src/orchestrator/home.ts'
import { createLiveBinding } from '../../src/orchestrator/live-binding.ts'
import { createSupplier } from '../../src/orchestrator/supplier.ts'
import { fetchSupply, type Supplied, type Supply, type SupplyParts, toRefusal } from '../../src/orchestrator/supply.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import { makeSigningPair } from '../../src/seal/key.ts'
import { createSigner } from '../../src/seal/signature.ts'
import type { LogFields } from '../../src/system/log.ts'
import { createFakePond, refusal } from '../harness/fake-pond-client.ts'
import { createVault, makeWorkerPairs, PROJECT, signedJob } from '../harness/fake-vault.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { fakeBinding, fakeKeys } from '../harness/swarm-rig.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const values = {
  env: { DB_PASSWORD: 'hunter2', EMPTY: '' },
  files: { 'id.key': Buffer.from('top\nsecret').toString('base64') },
}

async function setUp() {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  const vault = await createVault()
  const pond = createFakePond({ clock, random: createSeededRandom(1) })
  pond.serve = (name, call) => vault.serve(name, call)
  const lines: LogFields[] = []
  const log = { info() {}, warn: (_: string, fields: LogFields = {}) => void lines.push(fields), error() {} }
  const unpacked: { folder: string; content: Buffer }[] = []
  const cache = await openBundleCache({ clock, disk, log, folder: '/h/bundles' })
  const parts: SupplyParts = {
    client: pond.client,
    log,
    bundles: async () => cache,
    async unpack(source, folder) {
      const content: Uint8Array[] = []
      for await (const bytes of source) content.push(bytes)
      unpacked.push({ folder, content: Buffer.concat(content) })
      return { files: 1, bytes: 1 }
    },
    project: PROJECT,
    signers: [],
    pondKey: () => vault.pondKey,
    pairsOf: () => [vault.worker.sealing],
  }
  const abort = new AbortController()
  const ask = (job: Partial<JobSpec>, more: Partial<Intent> = {}, other: Partial<SupplyParts> = {}) => {
    const spec = { command: ['true'], ...job } as JobSpec
    return fetchSupply({ ...parts, ...other }, { intent: pond.give(job, more), job: spec, signal: abort.signal })
  }
  return { clock, disk, vault, pond, lines, unpacked, abort, ask }
}

function supplied(it: Supplied): Supply {
  if (it === 'unsaid' || 'refused' in it) throw new Error(JSON.stringify(it))
  return it
}

async function prepare(supply: Supply, work: string): Promise<void> {
  if (!supply.prepare) throw new Error('there is a bundle')
  await supply.prepare(work)
}

t.test('a job that names nothing is given nothing, and pond is not asked', async (t) => {
  const { ask, pond } = await setUp()
  const supply = supplied(await ask({}))
  t.equal(supply.prepare, undefined, 'its folder stays untouched')
  t.same([supply.env, supply.files, supply.secrets, pond.calls], [{}, {}, [], []])
})

t.test('a credential becomes variables and files, and all its values are secrets', async (t) => {
  const { ask, vault, disk } = await setUp()
  const supply = supplied(await ask({ credential: 'db' }, await vault.setCredential('db', values)))
  t.same(supply.env, values.env)
  t.same(supply.files, { 'id.key': Buffer.from('top\nsecret') })
  t.same(supply.secrets.map(String), ['hunter2', 'top\nsecret'], 'an empty value is none')
  t.same(
    disk.paths().filter((path) => path.startsWith('/h/bundles/')),
    [],
    'nothing of it is on the disk',
  )
})

const badNames: Readonly<Record<string, object>> = {
  'a variable of pond': { env: { POND_JOB_ID: 'x-value' } },
  'the folder of the files': { env: { CREDENTIALS_DIRECTORY: 'x-value' } },
  'no variable': { env: { 'a=b': 'x-value' } },
  'a NUL': { env: { A: 'x-value\0' } },
  'a path': { files: { '../a': 'eC12YWx1ZQ==' } },
  'the folder above': { files: { '..': 'eC12YWx1ZQ==' } },
  'no base64': { files: { a: 'x-value!' } },
  'another field': { value: 'x-value' },
  'more than is searched for in what the job says': {
    env: { A: 'x-value'.repeat(5000) },
    files: { a: Buffer.alloc(40_000).toString('base64') },
  },
}
for (const [name, bad] of Object.entries(badNames)) {
  t.test(`a credential with ${name} is refused, without its value`, async (t) => {
    const { ask, vault, lines } = await setUp()
    const got = await ask({ credential: 'db' }, await vault.setCredential('db', JSON.stringify(bad)))
    t.match(got, { refused: { cause: 'no_seal', message: /^the credential / } })
    t.notMatch(JSON.stringify([got, lines]), /x-value/)
  })
}

t.test('what pond offers must be what the job names, in the project of the binding', async (t) => {
  const { ask, vault, pond } = await setUp()
  const { cred_request } = await vault.setCredential('db', values)
  const source_bundle = await vault.setBundle(Buffer.from('x'))
  const project = { name: 'db', project: 'other' }
  for (const [job, more] of [
    [{}, { cred_request }],
    [{ credential: 'db' }, {}],
    [{ credential: 'mail' }, { cred_request }],
    [{ credential: 'db' }, { cred_request: project }],
  ] as const)
    t.match(await ask(job, { ...more } as Partial<Intent>), {
      refused: { cause: 'no_seal', message: /another credential/ },
    })
  for (const [job, more] of [
    [{}, { source_bundle }],
    [{ bundle: source_bundle.digest }, {}],
    [{ bundle: '0'.repeat(64) }, { source_bundle }],
  ] as const)
    t.match(await ask(job, more), { refused: { cause: 'bundle_rejected', message: /another bundle/ } })
  t.same(pond.calls, [], 'pond is not even asked')
})

t.test('a grant for another claim, to another worker, or by another pond is refused in the same words', async (t) => {
  const { ask, vault, lines } = await setUp()
  const more = await vault.setCredential('db', values)
  const stranger = await makeWorkerPairs()
  const refusals = [
    await ask({ credential: 'db' }, more, { pondKey: () => stranger.signing.publicKey }),
    await ask({ credential: 'db' }, more, { pairsOf: () => [stranger.sealing] }),
    await ask({ credential: 'db' }, more, { project: 'other', pairsOf: () => [] }),
  ]
  vault.alter = (bound) => ({ ...bound, claim: `clm_${'9'.repeat(26)}` as typeof bound.claim })
  refusals.push(await ask({ credential: 'db' }, more))
  const message = 'the seal of the credential was refused'
  for (const [index, refused] of refusals.entries())
    if (index !== 2) t.same(refused, { refused: { cause: 'no_seal', message } })
  t.same(
    lines.map(({ reason }) => reason),
    ['bad_signature', 'not_for_you', undefined, 'wrong_place'],
    'the log knows more',
  )
})

t.test('pond has none to give', async (t) => {
  const { ask } = await setUp()
  const got = await ask({ credential: 'db' }, { cred_request: { name: 'db', project: PROJECT } })
  t.match(got, { refused: { cause: 'no_seal', message: /pond does not give the credential/ } })
})

t.test('client custody opens only for a job that the same key signed', async (t) => {
  const { ask, vault } = await setUp()
  const [owner, other] = [createSigner(await makeSigningPair()), createSigner(await makeSigningPair())]
  const more = await vault.setCredential('db', values, owner)
  const job = { command: ['true'], credential: 'db' } as const
  t.same(supplied(await ask({ credential: 'db' }, { ...more, ...signedJob(job, owner) })).env, values.env)
  for (const signature of [{}, signedJob(job, other)])
    t.match(await ask({ credential: 'db' }, { ...more, ...signature }), { refused: { cause: 'no_seal' } })
})

t.test('a signature must fit the exact bytes, and a worker may ask for one of its own list', async (t) => {
  const { ask } = await setUp()
  const [owner, other] = [createSigner(await makeSigningPair()), createSigner(await makeSigningPair())]
  const signed = signedJob({ command: ['true'] }, owner)
  const signers = [owner.publicKey]
  supplied(await ask({}, signed, { signers }))
  supplied(await ask({}, signedJob({ command: ['true'] }, other)))
  const forged = { ...signed, job: Buffer.from('{"command":["rm"]}').toString('base64') }
  const renamed = { keyid: other.publicKey, sig: signed.job_signature?.sig ?? '' }
  for (const [more, wanted] of [
    [{}, signers],
    [signedJob({ command: ['true'] }, other), signers],
    [forged, []],
    [{ ...signed, job_signature: renamed }, []],
  ] as const)
    t.match(await ask({}, { ...more } as Partial<Intent>, { signers: wanted }), { refused: { cause: 'bad_signature' } })
})

t.test('a bundle is fetched in pieces, opened and unpacked; a repeat is not fetched', async (t) => {
  const { ask, vault, unpacked, disk } = await setUp()
  const content = Buffer.alloc(250_000, 'source ')
  const source_bundle = await vault.setBundle(content)
  for (const _ of [1, 2]) {
    const supply = supplied(await ask({ bundle: source_bundle.digest }, { source_bundle }))
    await prepare(supply, '/box/work')
    await supply.close()
    await supply.close()
  }
  t.same(unpacked, [
    { folder: '/box/work', content },
    { folder: '/box/work', content },
  ])
  t.same(vault.pieces, [0, 100_000, 200_000])
  t.equal(
    (await disk.read(`/h/bundles/${source_bundle.digest}`))?.includes('source'),
    false,
    'ciphertext is what stays',
  )
})

t.test('a line that breaks is taken up where it broke', async (t) => {
  const { ask, vault, pond, clock } = await setUp()
  const source_bundle = await vault.setBundle(Buffer.alloc(250_000))
  let broken = 0
  pond.fault = (name, call) =>
    name === 'fetchBundle' && call.query?.offset === 100_000 && broken++ < 3 ? refusal('unreachable') : undefined
  const asked = ask({ bundle: source_bundle.digest }, { source_bundle })
  await clock.advance(60_000)
  await supplied(await asked).close()
  t.same(vault.pieces, [0, 100_000, 200_000])
})

t.test('a bundle that is not what it says is refused before anything runs', async (t) => {
  const { ask, vault } = await setUp()
  const source_bundle = await vault.setBundle(Buffer.alloc(250_000))
  const job = { bundle: source_bundle.digest }
  const uniform = { cause: 'bundle_rejected', message: 'the seal of the bundle was refused' }
  const { alter } = vault
  vault.alter = (bound) => ({ ...bound, job: `job_${'9'.repeat(26)}` as typeof bound.job })
  t.same(await ask(job, { source_bundle }), { refused: uniform })
  vault.alter = alter
  t.match(await ask(job, { source_bundle: { ...source_bundle, token: 'guess' } }), {
    refused: { cause: 'bundle_rejected' },
  })
  t.match(await ask(job, { source_bundle: { ...source_bundle, size: 1 } }), { refused: { message: /another bundle/ } })
  vault.stored(source_bundle.digest).writeUInt8(1, 200_000)
  t.match(await ask(job, { source_bundle }), { refused: { cause: 'bundle_rejected', message: /digest/ } })
})

t.test('an archive that is rejected, and a disk that is full', async (t) => {
  const { ask, vault, disk } = await setUp()
  const source_bundle = await vault.setBundle(Buffer.alloc(1000))
  const rejected = Object.assign(new Error('/etc/passwd is absolute'), { name: 'BundleError', reason: 'absolute' })
  const noRoom = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
  const hidden = Object.assign(new Error('unpacking', { cause: noRoom }), { name: 'BundleError', reason: 'disk' })
  for (const [thrown, cause] of [
    [rejected, { cause: 'bundle_rejected', message: '/etc/passwd is absolute' }],
    [noRoom, { cause: 'disk_full' }],
    [hidden, { cause: 'disk_full' }],
    [new TypeError('a fault'), undefined],
  ] as const) {
    const unpack = () => Promise.reject(thrown)
    const supply = supplied(await ask({ bundle: source_bundle.digest }, { source_bundle }, { unpack }))
    const error = await prepare(supply, '/work').catch((it: unknown) => it)
    await supply.close()
    if (cause) t.match(toRefusal(error), cause)
    else t.equal(error, thrown)
  }
  await disk.remove('/h/bundles')
  await disk.makeFolder('/h/bundles')
  disk.roomBytes = 100
  t.match(await ask({ bundle: source_bundle.digest }, { source_bundle }), { refused: { cause: 'disk_full' } })
  t.same(
    disk.paths().filter((path) => path.startsWith('/h/bundles/')),
    [],
    'nothing half stays',
  )
})

t.test('while pond is away it waits; a job that is not wanted any more says nothing', async (t) => {
  const { ask, vault, pond, abort, clock } = await setUp()
  const away: CallError = refusal('unreachable')
  const more = await vault.setCredential('db', values)
  pond.fault = (name) => (name === 'seal' ? away : undefined)
  const asked = ask({ credential: 'db' }, more)
  await clock.advance(24 * 60 * 60 * 1000)
  abort.abort()
  await clock.settle()
  t.equal(await asked, 'unsaid')
})

t.test('a job that is aborted while its bundle is unpacked', async (t) => {
  const { ask, vault, abort } = await setUp()
  const source_bundle = await vault.setBundle(Buffer.alloc(1_000_000))
  const supply = supplied(await ask({ bundle: source_bundle.digest }, { source_bundle }))
  abort.abort()
  await t.rejects(prepare(supply, '/work'), /not wanted any more/)
  await supply.close()
})

t.test('a swarm gives it from its own binding, and gives back room', async (t) => {
  const { clock, disk, vault, pond, lines } = await setUp()
  const log = { info() {}, warn: (event: string) => void lines.push({ event }), error() {} }
  const home = await openHome(disk, '/h')
  const [first] = fakeBinding.workers
  const { sealing } = vault.worker
  const keys = { sealing_key: sealing.publicKey, signing_key: vault.worker.signing.publicKey }
  const live = createLiveBinding(
    home,
    { ...fakeBinding, pond_key: vault.pondKey, workers: [{ ...first, keys }] },
    { ...fakeKeys, workers: [vault.worker] },
  )
  const parts = { binding: live, client: pond.client, clock, disk, home, log, options: { slots: 1 } }
  const supplier = createSupplier(parts as unknown as Parameters<typeof createSupplier>[0])
  const source_bundle = await vault.setBundle(Buffer.from('x'))
  const job = { command: ['true'] as [string], bundle: source_bundle.digest }
  const order = { intent: pond.give(job, { source_bundle }), job, signal: new AbortController().signal }
  disk.fault = () => new Error('EIO')
  await supplier.shrink()
  t.match(lines, [{ event: 'bundles_left' }])
  disk.fault = () => undefined
  const supply = supplied(await supplier.fetchSupply(order))
  const kept = () => disk.paths().filter((path) => path.startsWith('/h/bundles/')).length
  await supplier.shrink()
  t.equal(kept(), 1, 'it is in use')
  await supply.close()
  await supplier.shrink()
  t.equal(kept(), 0)
})
