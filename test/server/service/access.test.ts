// What a leaked token is worth: a call under /orch counts only with the signature of the binding's own key over this very call, and whatever is wrong, the answer is one.
import t, { type Test } from 'tap'
import type { PondReply, PondRequest } from '../../../server/http/message.ts'
import type { RouteName } from '../../../src/protocol/route.ts'
import type { KeyPair } from '../../../src/seal/key.ts'
import { createCode, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { signRequest } from '../../harness/request-signer.ts'
import { bindingPair } from '../../harness/signing-key.ts'

const SECOND = 1000

interface Change {
  readonly key?: KeyPair
  readonly pondKey?: string
  readonly aheadMs?: number
}

/** Signed as the machine does, but for this. */
function resign(rig: PondRig, request: PondRequest, { aheadMs = 0, ...change }: Change = {}): PondRequest {
  const { publicKey: pondKey } = rig.pond.services.core.keys
  return signRequest(request, { key: bindingPair('k'), pondKey, createdMs: rig.clock.now() + aheadMs, ...change })
}

/** The hand of one key, the name of another. */
function renamed(request: PondRequest): PondRequest {
  const input = request.headers['signature-input']?.replace(bindingPair('x').publicKey, bindingPair('k').publicKey)
  return { ...request, headers: { ...request.headers, 'signature-input': input ?? '' } }
}

/** All that a caller sees, but for the id of the request. */
function seen({ status, headers, body }: PondReply) {
  const { request_id, ...rest } = JSON.parse(`${body}`) as { request_id?: string }
  const { 'x-request-id': id, ...others } = headers
  return { status, headers: others, rest, ids: request_id === id }
}

async function createWorld(t: Test) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  const chunk = rig.request('sendChunk', {
    token: box.token,
    params: { id: intent.job_id },
    query: { claim: intent.claim_id, stream: 'stdout', offset: '0', at: '1', order: '0' },
    headers: { 'x-claim-token': intent.claim_token, 'content-encoding': 'identity' },
    body: Buffer.from('once'),
  })
  return { rig, box, intent, chunk }
}

t.test('whatever is wrong with a call, the answer is the same, and nothing is stored', async (t) => {
  const { rig, box, chunk } = await createWorld(t)
  const { headers } = chunk
  const change = (change: Partial<PondRequest>): PondRequest => ({ ...chunk, ...change })
  const header = (name: string, value?: string) => change({ headers: { ...headers, [name]: value } })
  const whoami = rig.request('orchWhoami', { token: box.token })
  const calls: Readonly<Record<string, PondRequest>> = {
    'an unknown token': header('authorization', `Bearer ${box.token.slice(0, -1)}_`),
    'a token without its key': rig.request('orchWhoami', { token: box.token, key: null }),
    'no signature': header('signature'),
    'no parameters of it': header('signature-input'),
    'a signature that is none': header('signature', 'pond=:AAAA:'),
    'another key': resign(rig, chunk, { key: bindingPair('x') }),
    "another key under this one's name": renamed(resign(rig, chunk, { key: bindingPair('x') })),
    'another pond': resign(rig, chunk, { pondKey: bindingPair('p').publicKey }),
    'a slow clock': resign(rig, chunk, { aheadMs: -301 * SECOND }),
    'a fast clock': resign(rig, chunk, { aheadMs: 301 * SECOND }),
    'another method': { ...resign(rig, { ...whoami, method: 'POST' }), method: 'GET' },
    'another path': change({ path: chunk.path.replace('/chunk', '/telemetry') }),
    'another query': change({ search: chunk.search.replace('offset=0', 'offset=1') }),
    'another body': change({ body: Buffer.from('Once') }),
    'no body': change({ body: new Uint8Array() }),
    'a body that is not told': header('content-digest'),
    'another claim token': header('x-claim-token', 'pond_claim_x'),
    'no claim token': header('x-claim-token'),
    'another encoding': header('content-encoding', 'gzip'),
    'no encoding': header('content-encoding'),
  }
  const before = await rig.dump()
  const unknown = seen(await rig.pond.answer({ ...whoami, headers: { authorization: 'Bearer pond_bind_x' } }))
  t.match(unknown, { status: 401, ids: true, rest: { error: { code: 'unauthenticated', details: {} } } })
  for (const [what, call] of Object.entries(calls)) t.strictSame(seen(await rig.pond.answer(call)), unknown, what)
  t.strictSame(await rig.dump(), before)
  t.equal((await rig.send('sendChunk', chunk)).status, 200, 'the call itself is good')
  for (const aheadMs of [-299 * SECOND, 299 * SECOND]) {
    t.equal((await rig.send('sendChunk', resign(rig, chunk, { aheadMs }))).status, 200, `${aheadMs} ms ahead`)
  }
})

t.test('each byte of the signature and of its parameters counts', async (t) => {
  const { rig, chunk } = await createWorld(t)
  const unknown = seen(await rig.pond.answer({ ...chunk, headers: { authorization: 'Bearer pond_bind_x' } }))
  const before = await rig.dump()
  for (const name of ['signature', 'signature-input', 'pond-id', 'content-digest']) {
    const value = chunk.headers[name] ?? ''
    for (let at = 0; at < value.length; at += 3) {
      const text = `${value.slice(0, at)}${value[at] === 'z' ? 'y' : 'z'}${value.slice(at + 1)}`
      const answer = seen(await rig.pond.answer({ ...chunk, headers: { ...chunk.headers, [name]: text } }))
      if (JSON.stringify(answer) !== JSON.stringify(unknown)) t.strictSame(answer, unknown, `${name} at ${at}`)
    }
  }
  t.strictSame(await rig.dump(), before)
})

t.test('a call that is sent again changes nothing, and after its time is refused', async (t) => {
  const { rig, box, chunk } = await createWorld(t)
  await rig.send('sendChunk', chunk)
  const before = await rig.dump()
  t.match(await rig.send('sendChunk', chunk), { status: 200, reply: { committed: 4 } })
  t.strictSame(await rig.dump(), before)
  await rig.clock.advance(301 * SECOND)
  t.equal((await rig.send('sendChunk', chunk)).code, 'unauthenticated')
  t.equal((await rig.call('orchWhoami', { token: box.token })).status, 200, 'a new signature is good')
})

t.test('a token that is used without its key settles nothing', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig)
  const body = pairBody(parsed)
  const [first, second] = [
    (await rig.call('pair', { token: null, body })).reply.token,
    (await rig.call('pair', { token: null, body })).reply.token,
  ]
  t.equal((await rig.call('orchWhoami', { token: second, key: null })).code, 'unauthenticated')
  t.equal((await rig.call('orchWhoami', { token: first })).status, 200, 'the other one still lives')
})

t.test('to pair, the call is signed with the key that it brings', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig)
  const good = rig.request('pair', { token: null, body: pairBody(parsed) })
  const unsigned = rig.request('pair', { token: null, body: pairBody(parsed), key: null })
  const before = await rig.dump()
  const refused = {
    'no signature': unsigned,
    'another key': resign(rig, good, { key: bindingPair('x') }),
    'another pond': resign(rig, good, { pondKey: bindingPair('p').publicKey }),
    'a wrong clock': resign(rig, good, { aheadMs: -301 * SECOND }),
  }
  const one = seen(await rig.pond.answer({ ...good, headers: { ...good.headers, signature: '' } }))
  t.match(one, { status: 401, rest: { error: { code: 'unauthenticated', details: {} } } })
  for (const [what, call] of Object.entries(refused)) t.strictSame(seen(await rig.pond.answer(call)), one, what)
  t.strictSame(await rig.dump(), before, 'and burns no try of the code')
  const old = rig.request('pair', { token: null, key: null, body: { ...pairBody(parsed), protocol: 1 } })
  t.equal((await rig.send('pair', old)).code, 'upgrade_required', 'step 1, which signed nothing, is told so')
  t.equal((await rig.send('pair', good)).status, 200)
})

t.test('consumers and operators sign nothing', async (t) => {
  const rig = await createPondRig(t)
  for (const name of ['listJobs', 'listBindings', 'whoami'] satisfies RouteName[]) {
    const { headers } = rig.request(name)
    t.notOk('signature' in headers)
    t.equal((await rig.call(name)).status, 200)
  }
})
