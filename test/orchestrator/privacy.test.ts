// What of a confidential job leaves its worker: only its recipients can open it, wherever it was interrupted, and nothing in the clear beside it.
import t from 'tap'
import { resumeOutput } from '../../src/orchestrator/left-output.ts'
import { ClaimOutput } from '../../src/orchestrator/output.ts'
import { createPrivacy, type Event } from '../../src/orchestrator/privacy.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { SealedInline } from '../../src/protocol/sealed.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { type KeyPair, makeSealingPair } from '../../src/seal/key.ts'
import { openOwn } from '../../src/seal/open/envelope.ts'
import { createSegmentReader } from '../../src/seal/open/segment.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { factsOf, workerSigner } from '../harness/claim-facts.ts'
import { createFakePond } from '../harness/fake-pond-client.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'

const SECRET = 'a-very-secret-value'
const sodium = await loadSodium()

async function setUp(me: KeyPair, { streamBytes = 2 ** 20, sealed = true } = {}) {
  const random = createSeededRandom(4)
  const pond = createFakePond({ clock: systemClock, random })
  const intent = pond.give({}, { limits: { stream_bytes: streamBytes, artifact_bytes: 2 ** 20 } })
  const claim = { ...factsOf(intent), ...(sealed && { recipients: [me.publicKey] }) }
  const disk = createMemoryDisk()
  await disk.makeFolder('/c')
  const privacy = await createPrivacy({ random, signer: workerSigner, claim, secrets: [SECRET] })
  const abort = new AbortController()
  const parts = {
    ...{ client: pond.client, clock: systemClock, disk, log: silentLog, claim, privacy, folder: '/c' },
    ready: async () => {},
    signal: abort.signal,
    failed: (error: unknown) => t.fail(String(error)),
  }
  const reader = (stream: string) =>
    createSegmentReader({
      sodium,
      stream: { job: claim.job_id, claim: claim.claim_id, stream },
      jobDigest: claim.job_digest,
      pairs: [me],
      trusts: (key) => key === workerSigner.publicKey,
      named: (of) => of === fingerprint(me.publicKey),
    })
  const opened = (stream: 'stdout' | 'stderr' | 'stdout.tail' | 'artifact/0') => {
    const it = reader(stream)
    const bytes = Buffer.concat(it.push(pond.stream(claim.claim_id, stream)).map((piece) => piece.bytes))
    return { text: bytes.toString(), ended: it.ended() }
  }
  return { pond, claim, disk, privacy, parts, opened, abort }
}

const holds = (text: string, bytes: Uint8Array) => Buffer.from(bytes).includes(text)

t.test(
  'streams, tail and artifact open for the recipient, whole and redacted, and nothing else says what they hold',
  async (t) => {
    const me = await makeSealingPair()
    const { pond, claim, disk, parts, opened } = await setUp(me, { streamBytes: 20_000 })
    const output = new ClaimOutput(parts, 0)
    await output.write('stdout', Buffer.from(`hello ${SECRET.slice(0, 5)}`))
    await output.write('stdout', Buffer.from(`${SECRET.slice(5)} world\n`))
    await output.write('stdout', Buffer.from('x'.repeat(30_000)))
    await output.write('stdout', Buffer.from('the end\n'))
    t.equal(
      await output.addArtifact(
        0,
        (async function* () {
          yield Buffer.from('artifact text')
        })(),
      ),
      undefined,
    )
    await output.end()
    const reports = await output.deliver()
    t.match(reports, {
      stdout: { end: 'capped' },
      'stdout.tail': { end: 'complete' },
      'artifact/0': { end: 'complete' },
    })
    const { text, ended } = opened('stdout')
    t.ok(text.startsWith('hello [redacted] world\nxxx'))
    t.ok(ended, 'the worker says where it cut')
    t.ok(opened('stdout.tail').text.endsWith('the end\n'))
    t.equal(text.length + opened('stdout.tail').text.length, 'hello [redacted] world\nthe end\n'.length + 30_000)
    t.equal(opened('artifact/0').text, 'artifact text')
    for (const path of disk.paths().filter((it) => it.startsWith('/c/'))) {
      const bytes = (await disk.read(path)) ?? Buffer.alloc(0)
      for (const word of ['hello', 'the end', 'artifact text', 'xxxx', SECRET])
        t.notOk(holds(word, bytes), `${path} ${word}`)
    }
    t.equal(pond.stream(claim.claim_id, 'stdout').length, reports?.stdout?.bytes)
    t.ok((reports?.stdout?.bytes ?? 0) <= 20_000, 'the cap counts what is stored')
  },
)

t.test('a spool that a former life left without an end gets one, wherever it broke off', async (t) => {
  const me = await makeSealingPair()
  for (const [torn, left] of [
    [0, 'first second'],
    [1, 'first '],
    [26, 'first '],
    [27, 'first '],
    [28, ''],
  ] as const) {
    const { pond, disk, claim, parts, opened, abort } = await setUp(me)
    const output = new ClaimOutput(parts, 0)
    await output.write('stdout', Buffer.from('first '))
    await sleep(systemClock, 1)
    await output.write('stdout', Buffer.from('second'))
    await sleep(systemClock, 1)
    const file = await disk.open('/c/stdout')
    await file.truncate(file.size() - torn)
    const again = await resumeOutput(parts, { spooled: undefined, isSafe: true })
    const reports = await again.deliver()
    t.match(reports, { stdout: { end: 'lost' } })
    const { text, ended } = opened('stdout')
    t.equal(text, left, `${torn} bytes were torn off`)
    t.ok(ended, 'what is here is genuine, and its end is told')
    t.ok(pond.stream(claim.claim_id, 'stdout').length > 0)
    abort.abort()
    await Promise.all([output.deliver(), again.close()])
  }
})

t.test('ends and events: what they say is sealed, what pond may know stays', async (t) => {
  const me = await makeSealingPair()
  const { privacy, claim } = await setUp(me)
  const open = async (sealed: SealedInline, part: string) => {
    const place = { kind: 'private', job: claim.job_id, claim: claim.claim_id, part } as const
    return JSON.parse((await openOwn(sodium, sealed, { pairs: [me], place })).toString())
  }
  const artifacts = [
    { stream: 'artifact/0' as const, path: `out/${SECRET}.txt` },
    { path: 'x', problem: 'missing' as const },
  ]
  const said = await privacy.ending({
    ...{ cause: 'exit', rc: 3, ended_at: 5, message: `no ${SECRET}`, result: `{"a":"${SECRET}"}`, artifacts },
  })
  t.match(said, { cause: 'exit', rc: 3, artifacts: [{ stream: 'artifact/0' }, { problem: 'missing' }] })
  t.notOk(JSON.stringify(said).includes('out/'))
  t.same(await open(JSON.parse(said.result ?? ''), 'end'), {
    message: 'no [redacted]',
    result: '{"a":"[redacted]"}',
    artifacts: [{ stream: 'artifact/0', path: 'out/[redacted].txt' }, artifacts[1]],
  })
  const event: Event = { id: 'e1', type: 'model.call', at: 7, data: { prompt: SECRET } }
  const sealed = await privacy.event(event)
  t.match(sealed, { id: 'e1', type: 'sealed', at: 7 })
  t.same(await open(sealed.data?.sealed as SealedInline, 'e1'), { type: 'model.call', data: { prompt: '[redacted]' } })
  await t.rejects(open(sealed.data?.sealed as SealedInline, 'e2'), SealError)
})

t.test('a result that does not fit once it is sealed costs the job nothing but itself', async (t) => {
  const me = await makeSealingPair()
  const { privacy } = await setUp(me)
  const result = JSON.stringify(Array.from({ length: 340_000 }, () => ''))
  t.ok(result.length <= limit.resultBytes)
  const said = await privacy.ending({ cause: 'exit', rc: 3, ended_at: 5, result })
  t.match(said, { cause: 'exit', rc: 3 })
  t.ok((said.result ?? '').length <= limit.sealedInlineBytes)
  const small = await privacy.ending({ cause: 'exit', rc: 3, ended_at: 5, result: '1' })
  t.ok((small.result ?? '').length < 2000)
})

t.test('a recipient to whom anybody could open is told before anything runs', async (t) => {
  const weak = { publicKey: Buffer.alloc(32).toString('base64url'), privateKey: '' }
  await t.rejects(setUp(weak), SealError)
})

t.test('a text that redaction makes longer still fits', async (t) => {
  const { privacy } = await setUp(await makeSealingPair(), { sealed: false })
  const message = `${SECRET} `.repeat(Math.floor(limit.messageChars / (SECRET.length + 1)))
  const said = await privacy.ending({ cause: 'exit', rc: 0, ended_at: 1, message })
  t.ok((said.message ?? '').length <= limit.messageChars)
})

t.test('without recipients: only the secrets are taken out', async (t) => {
  const me = await makeSealingPair()
  const { privacy } = await setUp(me, { sealed: false })
  const said = await privacy.ending({ cause: 'exit', rc: 0, ended_at: 1, message: SECRET, result: `["${SECRET}"]` })
  t.same(said, { cause: 'exit', rc: 0, ended_at: 1, message: '[redacted]', result: '["[redacted]"]' })
  t.same((await privacy.event({ id: 'e', type: 'p', at: 1, data: { a: SECRET } })).data, { a: '[redacted]' })
})
