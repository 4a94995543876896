// Who may call what: every route × every caller × every wrong claim token, generated from the routes. A refused call leaves no trace.
import t, { type Test } from 'tap'
import type { Scope } from '../../../src/protocol/admin.ts'
import { type ErrorCode, errorTable } from '../../../src/protocol/error.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { type RouteName, routeNames, routes } from '../../../src/protocol/route.ts'
import type { Caller, Route } from '../../../src/protocol/shape.ts'
import type { KeyPair } from '../../../src/seal/key.ts'
import { claimToken } from '../../../src/seal/token.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSealer, type SealedBundle } from '../../harness/sealer.ts'
import { bindingPair } from '../../harness/signing-key.ts'

type Outcome = ErrorCode | 200 | 201

interface Row {
  readonly asking?: (world: World) => Asking
  /** What a caller gets whom the route is for. */
  readonly allowed: Outcome
  /** What such a caller of another project or binding gets, where that differs. */
  readonly foreign?: Outcome
  /** The same about another job than the claim's, where the path does not name it. */
  readonly elsewhere?: (world: World) => Asking
  /** Tables in which an allowed call leaves a trace. */
  readonly leaves?: readonly string[]
}

interface World {
  readonly rig: PondRig
  readonly box: Machine
  /** A job that has ended, with a result. */
  readonly done: string
  /** The claim of a running job. */
  readonly claim: Intent
  /** The claim of another running job of the same machine. */
  readonly other: Intent
  /** The job of the claim names it, and the credential `seen`. */
  readonly bundle: SealedBundle
}

const ofDone = ({ done }: World) => ({ params: { id: done, name: 'stdout', path: 'out/a.txt' } })
const onJob = (allowed: Outcome, more: object = {}): Row => ({
  asking: (world) => ({ ...ofDone(world), ...more }),
  allowed,
  foreign: 'not_found',
})
const onClaim = (asking: (world: World) => Asking): Row => ({
  asking: (world) => ({
    params: { id: world.claim.job_id },
    headers: { 'x-claim-token': world.claim.claim_token },
    ...asking(world),
  }),
  allowed: 200,
  foreign: 'not_found',
})
const onSeal = (leaves: readonly string[], more: (world: World) => object = () => ({})): Row => {
  const asking = (job: (world: World) => Intent) => (world: World) => ({
    headers: { 'x-claim-token': world.claim.claim_token },
    body: { job_id: job(world).job_id, claim_id: world.claim.claim_id, worker_id: world.box.workerId, ...more(world) },
  })
  const elsewhere = asking(({ other }) => other)
  return { asking: asking(({ claim }) => claim), elsewhere, allowed: 200, foreign: 'not_found', leaves }
}
const onFetch = (job: (world: World) => Intent) => (world: World) => ({
  params: { digest: world.bundle.digest },
  headers: { 'x-claim-token': world.claim.claim_token },
  query: { job: job(world).job_id, claim: world.claim.claim_id },
})
const onBundle = (foreign: Outcome, more: (bundle: SealedBundle) => object = () => ({})): Row => ({
  asking: ({ bundle }) => ({ params: { digest: bundle.digest }, ...more(bundle) }),
  allowed: 200,
  foreign,
})
/** A body that no route takes shows that the caller came through, and changes nothing. */
const badBody = (allowed: ErrorCode): Row => ({ asking: () => ({ body: { nobody: 1 } }), allowed })
const unknown = (prefix: string, more: object = {}): Row => ({
  asking: () => ({ params: { id: `${prefix}_${'0'.repeat(26)}` }, ...more }),
  allowed: 'not_found',
})

const table: Readonly<Record<RouteName, Row>> = {
  pair: badBody('invalid_field'),
  poll: badBody('invalid_field'),
  sendWords: badBody('invalid_field'),
  sendWord: onClaim(({ claim }) => ({ body: { claim_id: claim.claim_id, state: 'running' } })),
  sendChunk: onClaim(({ claim }) => ({
    query: { claim: claim.claim_id, stream: 'stdout', offset: '0', at: '1', order: '0' },
    body: Buffer.from('seen before'),
  })),
  sendTelemetry: onClaim(({ claim }) => ({
    body: { claim_id: claim.claim_id, events: [{ id: 'seen-before', type: 'progress', at: 1 }] },
  })),
  sendSnapshot: badBody('invalid_field'),
  agreeCallKey: badBody('invalid_field'),
  unpair: badBody('unknown_field'),
  orchWhoami: { allowed: 200 },
  rotate: badBody('unknown_field'),
  seal: onSeal(['audit']),
  bundleToken: onSeal([]),
  bundleRedeem: onSeal(['audit', 'bundles'], ({ claim }) => ({ token: claim.source_bundle?.token })),
  enroll: {
    asking: () => ({ params: { code_id: `cod_${'0'.repeat(26)}` }, body: { nobody: 1 } }),
    allowed: 'invalid_field',
  },
  submitJob: badBody('invalid_field'),
  listJobs: { allowed: 200 },
  getJob: onJob(200),
  getJobSpec: onJob(200),
  listTransitions: onJob(200),
  listAttempts: onJob(200),
  getResult: onJob(200),
  cancelJob: onJob('not_possible', { body: {} }),
  cancelJobs: badBody('invalid_field'),
  listDead: { allowed: 200 },
  dismissJob: onJob('not_possible'),
  replayJob: {
    asking: ({ claim }) => ({ params: { id: claim.job_id }, body: {} }),
    allowed: 'not_possible',
    foreign: 'not_found',
  },
  replayJobs: badBody('unknown_field'),
  adoptAttempt: onJob('not_possible', { body: { attempt: 1 } }),
  readStream: onJob(200),
  listChunks: onJob(200),
  followJob: onJob(200),
  followJobs: { asking: () => ({ signal: AbortSignal.abort() }), allowed: 200 },
  listWorkers: { allowed: 200 },
  whoami: { allowed: 200 },
  explainJob: onJob(200),
  getAttestation: onJob(200),
  listArtifacts: onJob(200),
  createBundle: { asking: () => ({ body: Buffer.from('no archive') }), allowed: 'invalid_field' },
  listCredentials: { allowed: 200 },
  readArtifact: onJob(200),
  getBundle: onBundle('not_found'),
  putBundle: onBundle('chunk_gap', ({ size, frames }) => ({
    query: { offset: '1', size: `${size}` },
    body: frames.subarray(1),
  })),
  sealBundle: { asking: () => ({ params: { digest: '0'.repeat(64) }, body: { nobody: 1 } }), allowed: 'invalid_field' },
  putCredential: { asking: () => ({ params: { name: 'seen' }, body: { nobody: 1 } }), allowed: 'invalid_field' },
  getCredential: { asking: () => ({ params: { name: 'seen' } }), allowed: 200, foreign: 'not_found' },
  deleteCredential: { asking: () => ({ params: { name: 'unseen' } }), allowed: 'not_found' },
  getRecipients: { allowed: 200 },
  putRecipients: { asking: () => ({ body: { recipients: [] } }), allowed: 200 },
  fetchBundle: {
    asking: onFetch(({ claim }) => claim),
    elsewhere: onFetch(({ other }) => other),
    allowed: 200,
    foreign: 'not_found',
  },
  listEnrollmentCodes: { allowed: 200 },
  revokeEnrollmentCode: unknown('cod'),
  drainWorker: unknown('wrk'),
  resumeWorker: unknown('wrk'),
  cordonWorker: unknown('wrk'),
  uncordonWorker: unknown('wrk'),
  drainBinding: unknown('bnd'),
  cordonBinding: unknown('bnd'),
  uncordonBinding: unknown('bnd'),
  pauseProject: { asking: () => ({ params: { name: 'none' }, body: {} }), allowed: 'not_found' },
  resumeProject: { asking: () => ({ params: { name: 'none' } }), allowed: 'not_found' },
  reinstateWorker: unknown('wrk'),
  revokeWorker: unknown('wrk'),
  rotatePondKey: badBody('unknown_field'),
  getUsage: { allowed: 200 },
  setQuota: { asking: () => ({ params: { project: 'unseen' }, body: {} }), allowed: 'not_found' },
  createProject: badBody('invalid_field'),
  listProjects: { allowed: 200 },
  putWeight: { asking: () => ({ params: { project: 'nobody' }, body: { weight: 1 } }), allowed: 'not_found' },
  createKey: badBody('unknown_field'),
  listKeys: { allowed: 200 },
  revokeKey: unknown('key'),
  createPairingCode: badBody('unknown_field'),
  listPairingCodes: { allowed: 200 },
  revokePairingCode: unknown('cod'),
  listBindings: { allowed: 200 },
  getBinding: unknown('bnd'),
  putLadder: unknown('bnd', { body: { friends: [], public: false } }),
  revokeBinding: unknown('bnd'),
  listAllWorkers: { allowed: 200 },
  listAllJobs: { allowed: 200 },
  listAudit: { allowed: 200 },
  createEnrollmentCode: badBody('invalid_field'),
  getStats: { allowed: 200 },
  healthz: { allowed: 200 },
  readyz: { allowed: 200 },
  openapi: { allowed: 200 },
}

interface CallerRow {
  readonly name: string
  /** The whole Authorization header; undefined for none. */
  readonly authorization: string | undefined
  /** Signs where the machine of the token would; null for no signature. */
  readonly key?: KeyPair | null
  /** Kinds of routes it may call; `unknown` for a caller that pond does not know at all. */
  readonly may: readonly Caller[] | 'unknown'
  readonly foreign?: true
}

async function createWorld(t: Test): Promise<World> {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const sealer = await createSealer(rig)
  const bundle = await sealer.bundle(Buffer.from('content'))
  await sealer.upload(bundle)
  await rig.call('putCredential', { params: { name: 'seen' }, body: await sealer.credential('seen', {}) })
  const done = await submit(rig)
  const artifacts = [{ stream: 'artifact/0', path: 'out/a.txt' }] as const
  await box.say(await box.start(), { ...finalWord, result: '{}', artifacts: [...artifacts] })
  const claims: Intent[] = []
  for (const slots of [1, 2]) {
    await submit(rig, slots === 1 ? { credential: 'seen', bundle: bundle.digest } : {})
    claims.push(await box.start(slots))
  }
  const [claim, other] = claims
  if (!claim || !other) throw new Error('two jobs run')
  const world = { rig, box, done: done.id, claim, other, bundle }
  for (const name of ['sendChunk', 'sendTelemetry'] as const) {
    await rig.call(name, { token: box.token, ...table[name].asking?.(world) })
  }
  return world
}

const scopeSets: readonly (readonly Scope[])[] = [
  ['submit'],
  ['read'],
  ['credentials'],
  ['submit', 'read'],
  ['submit', 'credentials'],
  ['read', 'credentials'],
  ['submit', 'read', 'credentials'],
]

async function createCallers({ rig, box, claim }: World): Promise<readonly CallerRow[]> {
  await rig.call('createProject', { body: { name: 'other' } })
  const bearer = (token: string) => `Bearer ${token}`
  const key = async (body: object) => (await rig.call('createKey', { body })).reply
  const callers: CallerRow[] = []
  for (const scopes of scopeSets) {
    callers.push({
      name: `key of ${scopes.join('+')}`,
      authorization: bearer((await key({ scopes })).token),
      may: scopes,
    })
  }
  const allScopes: readonly Scope[] = ['submit', 'read', 'credentials']
  const foreignKey = await key({ scopes: allScopes, project: 'other' })
  const expired = await key({ scopes: allScopes, expires_ms: 1000 })
  const expiredAdmin = await key({ kind: 'admin', expires_ms: 1000 })
  await rig.clock.advance(1000)
  const revoked = await key({ scopes: allScopes })
  await rig.call('revokeKey', { params: { id: revoked.id } })
  const foreignBox = await pairMachine(rig, { letter: 'f', project: 'other' })
  const neighbour = await pairMachine(rig, { letter: 'n' })
  const revokedBox = await pairMachine(rig, { letter: 'r' })
  await rig.call('revokeBinding', { params: { id: revokedBox.bindingId } })
  const bindingMay: readonly Caller[] = ['binding', 'claim', 'renewal']
  const stolen = (more: { readonly key: KeyPair | null; readonly name: string }): CallerRow => ({
    ...{ authorization: bearer(box.token), may: 'unknown', ...more },
  })
  return [
    ...callers,
    { name: 'admin', authorization: bearer(rig.adminToken), may: ['admin', ...allScopes] },
    { name: 'admin, lower-case scheme', authorization: `bearer ${rig.adminToken}`, may: ['admin', ...allScopes] },
    { name: 'binding', authorization: bearer(box.token), may: bindingMay },
    { name: 'key of another project', authorization: bearer(foreignKey.token), may: allScopes, foreign: true },
    { name: 'binding of another project', authorization: bearer(foreignBox.token), may: bindingMay, foreign: true },
    { name: 'another binding of the project', authorization: bearer(neighbour.token), may: bindingMay, foreign: true },
    { name: 'nobody', authorization: undefined, may: 'unknown' },
    { name: 'empty header', authorization: '', may: 'unknown' },
    { name: 'empty token', authorization: 'Bearer ', may: 'unknown' },
    { name: 'wrong scheme', authorization: `Basic ${rig.adminToken}`, may: 'unknown' },
    { name: 'bare token', authorization: rig.adminToken, may: 'unknown' },
    { name: 'two tokens', authorization: `Bearer ${rig.adminToken} ${rig.adminToken}`, may: 'unknown' },
    { name: 'garbage', authorization: bearer('pond_key_x'), may: 'unknown' },
    { name: 'a token cut short', authorization: bearer(rig.adminToken.slice(0, -1)), may: 'unknown' },
    { name: 'claim token as bearer', authorization: bearer(claim.claim_token), may: 'unknown' },
    { name: 'expired key', authorization: bearer(expired.token), may: 'unknown' },
    { name: 'expired admin token', authorization: bearer(expiredAdmin.token), may: 'unknown' },
    { name: 'revoked key', authorization: bearer(revoked.token), may: 'unknown' },
    { name: 'revoked binding', authorization: bearer(revokedBox.token), may: 'unknown' },
    stolen({ name: 'binding token with no signature', key: null }),
    stolen({ name: "binding token with another binding's signature", key: bindingPair('n') }),
    stolen({ name: 'binding token with the signature of an unknown key', key: bindingPair('?') }),
  ]
}

function expected(route: Route, row: Row, caller: CallerRow): Outcome {
  if (route.caller === 'open' || route.caller === 'pair') return row.allowed
  if (caller.may === 'unknown') return 'unauthenticated'
  if (!caller.may.includes(route.caller)) return 'forbidden'
  return caller.foreign && row.foreign && !route.reserved ? row.foreign : row.allowed
}

t.test('every route × every caller', async (t) => {
  t.strictSame(Object.keys(table).sort(), [...routeNames].sort(), 'each route has an expectation')
  const world = await createWorld(t)
  const { rig } = world
  const callers = await createCallers(world)
  const dump = async (without: readonly string[] = []) =>
    JSON.stringify(Object.entries(await rig.dump()).filter(([table]) => !without.includes(table)))
  let calls = 0
  for (const name of routeNames) {
    const { leaves } = table[name]
    const before = await dump(leaves)
    for (const caller of callers) {
      const asking = table[name].asking?.(world) ?? {}
      const headers = {
        ...asking.headers,
        ...(caller.authorization === undefined ? {} : { authorization: caller.authorization }),
      }
      const said = { ...asking, token: null, headers, ...(caller.key === undefined ? {} : { key: caller.key }) }
      const { status, code, error } = await rig.call(name, said)
      const wanted = expected(routes[name], table[name], caller)
      const got = code ?? status
      calls++
      if (got !== wanted) t.equal(got, wanted, `${name} by ${caller.name}`)
      if (code && (status !== errorTable[code].status || error?.help !== errorTable[code].help)) {
        t.fail(`${name} by ${caller.name}: ${status} and help are not those of ${code}`)
      }
    }
    if ((await dump(leaves)) !== before) t.fail(`${name} left a trace`)
  }
  t.ok(calls === routeNames.length * callers.length && calls > 1000, `${calls} calls`)
})

t.test('every claim route × every wrong claim token', async (t) => {
  const world = await createWorld(t)
  const { rig, box, claim, other } = world
  const { tokenKey } = rig.pond.services.core.keys
  const wrong: Readonly<Record<string, { token: string | undefined; code: ErrorCode }>> = {
    missing: { token: undefined, code: 'unauthenticated' },
    empty: { token: '', code: 'forbidden' },
    garbage: { token: 'pond_claim_x', code: 'forbidden' },
    "another claim's": { token: other.claim_token, code: 'forbidden' },
    "the epoch's before": { token: claimToken(tokenKey, claim.claim_id, claim.epoch - 1), code: 'forbidden' },
    "the epoch's behind": { token: claimToken(tokenKey, claim.claim_id, claim.epoch + 1), code: 'forbidden' },
    "the binding's": { token: box.token, code: 'forbidden' },
  }
  const before = await rig.dump()
  const claimRoutes = routeNames.filter((name) => (routes[name] as Route).caller === 'claim')
  t.ok(claimRoutes.length >= 3)
  for (const name of claimRoutes) {
    for (const [which, { token, code }] of Object.entries(wrong)) {
      const asking = table[name].asking?.(world) ?? {}
      const headers: Record<string, string> = token === undefined ? {} : { 'x-claim-token': token }
      const answer = await rig.call(name, { ...asking, token: box.token, headers })
      t.equal(answer.code, code, `${name} with ${which} token`)
    }
    const inPath = { ...table[name].asking?.(world), params: { id: other.job_id } }
    const elsewhere = { ...(table[name].elsewhere?.(world) ?? inPath), token: box.token }
    t.equal((await rig.call(name, elsewhere)).code, 'not_found', `${name}: the claim of another job`)
  }
  for (const [which, { token, code }] of Object.entries(wrong)) {
    if (token === undefined) continue
    const word = { job_id: claim.job_id, claim_id: claim.claim_id, claim_token: token, ...finalWord }
    const { reply } = await rig.call('sendWords', { token: box.token, body: { words: [word] } })
    t.match(reply.outcomes, [{ outcome: 'refused', error: { code } }], `a batched word with ${which} token`)
  }
  t.strictSame(await rig.dump(), before, 'nothing of it is stored')
})

t.test('a binding names only its own workers and claims', async (t) => {
  const { rig, box, claim } = await createWorld(t)
  const thief = await pairMachine(rig, { letter: 't' })
  const before = await rig.dump()
  const workers = [{ worker_id: box.workerId, free: { slots: 1 } }]
  const polled = await thief.poll({ workers })
  t.match(polled, { code: 'invalid_field', error: { details: { field: 'workers.0.worker_id' } } })
  const parked = thief.poll({ slots: 0, wait_ms: 1, have: thief.have([claim]) })
  await rig.clock.settle()
  t.match((await parked).reply.directives, [{ type: 'drop', claim_id: claim.claim_id }])
  const { code } = await thief.say(claim, finalWord)
  t.equal(code, 'not_found', 'also with the right claim token')
  t.strictSame(await rig.dump(), before)
})
