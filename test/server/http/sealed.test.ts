// Bad input to the routes of what is sealed: a 4xx with code and field, and nothing of it is stored.
import t from 'tap'
import { type ErrorCode, errorTable } from '../../../src/protocol/error.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { RouteName } from '../../../src/protocol/route.ts'
import { type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig } from '../../harness/pond.ts'

interface World {
  readonly box: Machine
  /** Its job names nothing. */
  readonly intent: Intent
}

type Row = readonly [
  says: string,
  name: RouteName,
  asking: Asking | ((world: World) => Asking),
  code: ErrorCode,
  field?: string,
]

const job = (more: object) => ({ body: { command: ['true'], ...more } })
const credential = (body: object) => ({ params: { name: 'db' }, body })
const digest = '0'.repeat(64)
const bundle = (more: Asking) => ({ params: { digest }, body: Buffer.from('xx'), ...more })
const seal =
  (more: object) =>
  ({ box, intent: { job_id, claim_id, claim_token } }: World): Asking => ({
    token: box.token,
    headers: { 'x-claim-token': claim_token },
    body: { job_id, claim_id, worker_id: box.workerId, ...more },
  })
const dsse = { payloadType: 'x', payload: 'e30=', signatures: [{ keyid: 'k'.repeat(43), sig: 'c2ln' }] }

const rows: readonly Row[] = [
  ['of an unknown credential', 'submitJob', job({ credential: 'none' }), 'invalid_field', 'credential'],
  ['of an unknown bundle', 'submitJob', job({ bundle: digest }), 'invalid_field', 'bundle'],
  ['of a bundle that is no digest', 'submitJob', job({ bundle: 'x' }), 'invalid_field', 'bundle'],
  ['without a recipient', 'submitJob', job({ recipients: [] }), 'invalid_field', 'recipients'],
  ['with a recipient that is none', 'submitJob', job({ recipients: ['age1x'] }), 'invalid_field', 'recipients.0'],
  ['signed, beside a job', 'submitJob', job({ signed: dsse }), 'unknown_field', 'command'],
  ['signed by nobody', 'submitJob', { body: { signed: dsse } }, 'invalid_field', 'signed'],
  ['without boxes', 'putCredential', credential({ sealed: {} }), 'invalid_field', 'sealed.format'],
  ['in both custodies', 'putCredential', credential({ signed: dsse, sealed: {} }), 'invalid_field', 'sealed.format'],
  ['in neither', 'putCredential', credential({}), 'invalid_field', 'body'],
  ['of other words', 'putCredential', credential({ signed: { ...dsse, x: 1 } }), 'unknown_field', 'signed.x'],
  ['signed by nobody', 'putCredential', credential({ signed: dsse }), 'invalid_field', 'signed'],
  ['of no name', 'putCredential', { params: { name: '-' }, body: { signed: dsse } }, 'not_found', 'name'],
  ['unknown', 'getCredential', { params: { name: 'none' } }, 'not_found', 'name'],
  ['unknown', 'deleteCredential', { params: { name: 'none' } }, 'not_found', 'name'],
  ['a bare key', 'putRecipients', { body: { recipients: ['k'.repeat(43)] } }, 'invalid_field', 'recipients.0'],
  ['too many', 'putRecipients', { body: { recipients: Array(65).fill('x') } }, 'invalid_field', 'recipients'],
  ['of no digest', 'getBundle', { params: { digest: '../x' } }, 'not_found', 'digest'],
  ['unknown', 'getBundle', { params: { digest } }, 'not_found', 'digest'],
  ['without a size', 'putBundle', bundle({ query: { offset: '0' } }), 'invalid_field', 'size'],
  ['of nothing', 'putBundle', bundle({ query: { offset: '0', size: '0' } }), 'invalid_field', 'size'],
  ['behind a gap', 'putBundle', bundle({ query: { offset: '1', size: '9' } }), 'chunk_gap'],
  ['behind the size', 'putBundle', bundle({ query: { offset: '0', size: '1' } }), 'invalid_field', 'offset'],
  [
    'encoded',
    'putBundle',
    bundle({ query: { offset: '0', size: '2' }, headers: { 'content-encoding': 'gzip' } }),
    'unsupported',
    'content-encoding',
  ],
  ['signed by nobody', 'sealBundle', bundle({ body: { signed: dsse } }), 'invalid_field', 'signed'],
  ['no archive', 'createBundle', { body: Buffer.from('PK') }, 'invalid_field', 'body'],
  ['nothing', 'createBundle', {}, 'invalid_field', 'body'],
  ['of what the job does not name', 'seal', seal({}), 'invalid_field', 'job_id'],
  ['with a field too many', 'seal', seal({ key: 'x' }), 'unknown_field', 'key'],
  ['without the token', 'seal', (world) => ({ ...seal({})(world), headers: {} }), 'unauthenticated'],
  ['of what the job does not name', 'bundleToken', seal({}), 'invalid_field', 'job_id'],
  ['of what the job does not name', 'bundleRedeem', seal({ token: 'x' }), 'invalid_field', 'job_id'],
  ['without a bundle token', 'bundleRedeem', seal({}), 'invalid_field', 'token'],
]

t.test('bad input', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const world = { box, intent: await box.start() }
  const before = await rig.dump()
  for (const [says, name, bad, code, field] of rows) {
    const answer = await rig.call(name, typeof bad === 'function' ? bad(world) : bad)
    const details = field === undefined ? {} : { details: { field } }
    t.match(answer, { code, status: errorTable[code].status, error: details }, `${name}: ${says}`)
  }
  t.strictSame(await rig.dump(), before, 'nothing is stored')
  t.strictSame(
    rig.lines.filter(({ event }) => event === 'request.fault'),
    [],
    'and none of it was a fault of pond',
  )
})
