// Makes cases of everything that is sealed or signed, good ones and each with what must be refused: the golden vectors once, and fresh ones for the other reader.
import type { Context, Dsse, SealedInline } from '../../src/protocol/sealed.ts'
import { payloadType } from '../../src/protocol/sealed.ts'
import { attest, describeExecution, type FinalWord } from '../../src/seal/attestation.ts'
import { sealBox } from '../../src/seal/box.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { grantSealed, grantSigned, sealDetached, sealInline, signSealed } from '../../src/seal/envelope.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { FRAME_BYTES } from '../../src/seal/frame.ts'
import { findInterruption } from '../../src/seal/interruption.ts'
import { printKey } from '../../src/seal/key-text.ts'
import { systemRandom } from '../../src/system/random.ts'
import {
  bound,
  gather,
  ids,
  jobBytes,
  jobDigest,
  places,
  sealingPair,
  sha256,
  signerOf,
  sodium,
  stream,
} from '../harness/seal.ts'
import { forgeHeader, keysOf, sealStream, segmentsOf, takeApart } from '../harness/seal-stream.ts'
import { type SealCase, sealCase } from './seal-case.ts'

const pond = { pair: sealingPair('pond'), signer: signerOf('pond') }
const worker = { pair: sealingPair('worker'), signer: signerOf('worker') }
const consumer = signerOf('consumer')
const reader = sealingPair('reader')
const second = sealingPair('second reader')
const secret = Buffer.from('{"env":{"TOKEN":"not a secret at all"}}')
const signedPlace = { ...places.credential, signer: consumer.publicKey }
const opens = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

const seal = (context: Context, recipients: readonly string[], payload: Uint8Array) =>
  sealInline({ sodium, random: systemRandom, context, recipients }, payload)

interface Good {
  readonly opens?: string
  readonly sha256?: string
}

/** The case once more as one to be refused, with something else in it. */
function refuse({ opens: _, sha256: __, ...rest }: Good & object, what: string, other: object): object {
  return { ...rest, ...other, what, refused: true }
}

const asCases = (all: readonly object[]): readonly SealCase[] => all.map((one) => sealCase.parse(one))

export function makeKeyCases(): readonly SealCase[] {
  const key = Buffer.from(reader.publicKey, 'base64url')
  const texts = (['recipient', 'signer'] as const).flatMap((of) => {
    const text = printKey(of, reader.publicKey)
    const good = { what: `a ${of}`, kind: 'key text', of, text, opens: opens(key) }
    return [
      good,
      refuse(good, 'a slip', { text: `${text.slice(0, -1)}${text.endsWith('A') ? 'E' : 'A'}` }),
      refuse(good, 'cut off', { text: text.slice(0, -4) }),
      refuse(good, 'another kind', { of: of === 'signer' ? 'recipient' : 'signer' }),
      refuse(good, 'padded', { text: `${text}=` }),
    ]
  })
  const prints = [[reader.publicKey], [worker.pair.publicKey, worker.signer.publicKey]].map((keys) => ({
    what: `of ${keys.length} keys`,
    kind: 'fingerprint',
    keys,
    opens: opens(Buffer.from(fingerprint(keys[0] ?? '', ...keys.slice(1)))),
  }))
  return asCases([...texts, ...prints])
}

export async function makeEnvelopeCases(): Promise<readonly SealCase[]> {
  return asCases([...(await makeSealedCases()), ...(await makeDetachedCases()), ...(await makeCustodyCases())])
}

async function makeSealedCases(): Promise<readonly object[]> {
  const recipients = keysOf([reader, second])
  const sealed = await seal(places.private, recipients, secret)
  const named = recipients.map((key) => fingerprint(key))
  const good = {
    what: 'inline',
    kind: 'sealed',
    sealed,
    pairs: [reader],
    place: places.private,
    named,
    opens: opens(secret),
  } as const
  const capsule = { key: Buffer.alloc(32, 9).toString('base64url'), context: places.private }
  const boxes = [sealBox(sodium, reader.publicKey, capsule)]
  const box = {
    what: 'of a known content key',
    kind: 'box',
    sealed: { context: places.private, boxes },
    pairs: [reader],
    place: places.private,
    opens: opens(Buffer.alloc(32, 9)),
  }
  const empty = await seal(places.private, [reader.publicKey], Buffer.alloc(0))
  return [
    box,
    refuse(box, 'bound to no claim', { bound }),
    refuse(box, 'another key of mine', { pairs: [{ ...reader, publicKey: second.publicKey }] }),
    good,
    { ...good, what: 'inline, the second recipient', pairs: [second] },
    { ...good, what: 'inline, nothing in it', sealed: empty, opens: '' },
    refuse(good, 'another recipient', { named: named.slice(1) }),
    refuse(good, 'not for me', { pairs: [worker.pair] }),
    refuse(good, 'another place', { place: { ...places.private, claim: ids.otherClaim } }),
    refuse(good, 'another place outside', { sealed: { ...sealed, context: places.credential } }),
    refuse(good, 'another format', { sealed: { ...sealed, format: 2 } }),
    refuse(good, 'a field too many', { sealed: { ...sealed, more: 1 } }),
    refuse(good, 'two boxes for one', { sealed: { ...sealed, boxes: [...sealed.boxes, ...sealed.boxes] } }),
    refuse(good, 'another text for the same bytes', { sealed: { ...sealed, frames: `${sealed.frames}====` } }),
    refuse(good, 'cut off', { sealed: withFrames(sealed, (bytes) => bytes.subarray(0, -1)) }),
    refuse(good, 'bytes behind the end', {
      sealed: withFrames(sealed, (bytes) => Buffer.concat([bytes, Buffer.of(0)])),
    }),
    refuse(good, 'without frames', { sealed: withFrames(sealed, (bytes) => bytes.subarray(0, 24)) }),
    refuse(good, 'frames of another', { sealed: { ...sealed, frames: empty.frames } }),
  ]
}

function withFrames(sealed: SealedInline, change: (bytes: Buffer) => Buffer): SealedInline {
  return { ...sealed, frames: change(Buffer.from(sealed.frames, 'base64')).toString('base64') }
}

async function makeDetachedCases(): Promise<readonly object[]> {
  const archive = Buffer.alloc(FRAME_BYTES + 100, 'archive ')
  const sealing = sealDetached(
    { sodium, random: systemRandom, context: places.bundle, recipients: [pond.pair.publicKey] },
    (async function* () {
      yield archive
    })(),
  )
  const bytes = await gather(sealing.frames)
  const frames = bytes.toString('base64')
  const sealed = sealing.finish()
  const pairs = [pond.pair]
  const good = {
    what: 'detached',
    kind: 'sealed',
    sealed,
    frames,
    pairs,
    place: places.bundle,
    sha256: sha256(archive),
  } as const
  const full = FRAME_BYTES + 21
  const dropped = Buffer.concat([bytes.subarray(0, 24), bytes.subarray(24 + full)])
  const digestOf = (other: Buffer) => ({
    frames: other.toString('base64'),
    sealed: { ...sealed, digest: sha256(other), size: other.length },
  })
  return [
    good,
    refuse(good, 'of another digest', { sealed: { ...sealed, digest: sha256('') } }),
    refuse(good, 'of another size', { sealed: { ...sealed, size: sealed.size + 1 } }),
    refuse(good, 'the first frame dropped', digestOf(dropped)),
    refuse(good, 'the last frame dropped', digestOf(bytes.subarray(0, 24 + full))),
  ]
}

/** What consumers hand in, and what pond makes of it for a claim. */
async function makeCustodyCases(): Promise<readonly object[]> {
  const toPond = await seal(places.credential, [pond.pair.publicKey], secret)
  const toWorker = await seal(signedPlace, [worker.pair.publicKey], secret)
  const signed = signSealed(toWorker, consumer)
  const inPond = {
    what: 'pond custody',
    kind: 'custody',
    custody: { sealed: toPond },
    pairs: [pond.pair],
    place: places.credential,
    opens: opens(secret),
  } as const
  const inClient = {
    ...inPond,
    what: 'client custody',
    custody: { signed },
    pairs: [worker.pair],
    place: signedPlace,
  } as const
  return [
    inPond,
    inClient,
    refuse(inPond, "A's envelope under project B", { place: { ...places.credential, project: 'other' } }),
    refuse(inClient, 'the signature left off', { custody: { sealed: toWorker } }),
    refuse(inClient, 'signed by another', { custody: { signed: signSealed(toWorker, worker.signer) } }),
    refuse(inPond, 'signed where no signer is named', { custody: { signed: signSealed(toPond, consumer) } }),
    ...makeGrantCases(toPond, signed),
  ]
}

function makeGrantCases(toPond: SealedInline, signed: Dsse): readonly object[] {
  const granting = {
    sodium,
    pairs: [pond.pair],
    place: places.credential,
    sealingKey: worker.pair.publicKey,
    bound,
    signer: pond.signer,
  }
  const granted = {
    ...{ what: 'grant, pond custody', kind: 'grant', signed: grantSealed(granting, toPond), pairs: [worker.pair] },
    ...{ place: places.credential, bound, pond_key: pond.signer.publicKey, opens: opens(secret) },
  } as const
  const passedOn = {
    ...granted,
    what: 'grant, client custody',
    signed: grantSigned(pond.signer, bound, signed),
    job_signer: consumer.publicKey,
  }
  const otherBound = { ...bound, claim: ids.otherClaim }
  const stale = grantSealed({ ...granting, bound: otherBound }, toPond)
  const relabelled = { ...payloadOf(stale), bound }
  const { job_signer: _, ...unsignedJob } = passedOn
  const byPond = (payload: Buffer) => ({ signed: signDsse(payloadType.grant, payload, pond.signer) })
  return [
    granted,
    passedOn,
    refuse(granted, 'for another claim', { bound: otherBound }),
    refuse(granted, 'for another worker', { bound: { ...bound, worker: ids.otherWorker } }),
    refuse(granted, 'by another pond', { pond_key: consumer.publicKey }),
    refuse(granted, 'of another credential', { place: { ...places.credential, name: 'other' } }),
    refuse(granted, 'the box of another claim', byPond(canonicalBytes(relabelled))),
    refuse(granted, "pond's own box", byPond(canonicalBytes({ bound, sealed: toPond }))),
    refuse(granted, 'in another form', byPond(Buffer.from(JSON.stringify(payloadOf(granted.signed), undefined, 1)))),
    refuse(passedOn, 'for a job signed by another', { job_signer: worker.signer.publicKey }),
    refuse(unsignedJob, 'for a job that nobody signed', {}),
  ]
}

function payloadOf({ payload }: Dsse): object {
  return JSON.parse(Buffer.from(payload, 'base64').toString()) as object
}

const finalWord: FinalWord = {
  job_id: ids.job,
  claim_id: ids.claim,
  cause: 'exit',
  rc: 0,
  started_at: 1_800_000_000_000,
  ended_at: 1_800_000_001_000,
  usage: { cpu_ms: 12.5, max_rss_bytes: 4096, wall_ms: 1000, sampled: false },
  streams: { stdout: { bytes: 5, sha256: sha256('hello'), produced: 5, end: 'complete' } },
}

/** Ed25519 says the same for the same bytes, so these are the same each time. */
export function makeSignedCases(): readonly SealCase[] {
  const job = signDsse(payloadType.job, jobBytes, consumer)
  const good = {
    what: 'a job',
    kind: 'signed',
    type: 'job',
    signed: job,
    key: consumer.publicKey,
    opens: opens(jobBytes),
  }
  const keys = canonicalBytes({ kind: 'pond', signing_key: pond.signer.publicKey, sealing_key: pond.pair.publicKey })
  const rotation = {
    ...{ what: 'a rotation', kind: 'signed', type: 'rotation', key: pond.signer.publicKey },
    ...{ signed: signDsse(payloadType.rotation, keys, pond.signer), opens: opens(keys) },
  }
  const [signature] = job.signatures
  const weak = Buffer.from('01'.padEnd(64, '0'), 'hex')
  const forged = { keyid: weak.toString('base64url'), sig: Buffer.concat([weak, Buffer.alloc(32)]).toString('base64') }
  return asCases([
    good,
    rotation,
    {
      ...good,
      what: 'a job, signed by another too',
      signed: {
        ...job,
        signatures: [...signDsse(payloadType.job, jobBytes, worker.signer).signatures, ...job.signatures],
      },
    },
    refuse(good, 'as another type', { type: 'sealed' }),
    refuse(good, 'by another key', { key: worker.signer.publicKey }),
    refuse(good, 'other bytes', { signed: { ...job, payload: opens(Buffer.from('{"command":["false"]}')) } }),
    refuse(good, 'two signatures by one key', { signed: { ...job, signatures: [signature, signature] } }),
    refuse(good, 'no signature', { signed: { ...job, signatures: [] } }),
    refuse(good, 'under a key of small order', { signed: { ...job, signatures: [forged] }, key: forged.keyid }),
    ...makeAttestationCases(),
  ])
}

function makeAttestationCases(): readonly object[] {
  const origin = { job_digest: jobDigest, epoch: 1 }
  const { streams: _, ...silent } = { ...finalWord, claim_id: ids.otherClaim, job_id: ids.otherJob }
  const executions = [finalWord, silent].map((word) => describeExecution(word, origin))
  const signed = attest(worker.signer, { worker: ids.worker, version: '0.1.0' }, executions)
  const said = payloadOf(signed) as { readonly subject: readonly object[] }
  const twice = { ...said, subject: [...said.subject, ...said.subject] }
  const digests = (value: object) => opens(canonicalBytes(value))
  const good = {
    ...{
      what: 'an attestation',
      kind: 'attestation',
      signed,
      key: worker.signer.publicKey,
      job: ids.job,
      claim: ids.claim,
    },
    opens: digests({ stdout: sha256('hello') }),
  }
  return [
    good,
    { ...good, what: 'of a claim without output', job: ids.otherJob, claim: ids.otherClaim, opens: digests({}) },
    refuse(good, 'of another job', { job: ids.otherJob }),
    refuse(good, 'by another worker', { key: consumer.publicKey }),
    refuse(good, 'a subject twice', { signed: signDsse(payloadType.statement, canonicalBytes(twice), worker.signer) }),
  ]
}

/** Three segments: two writers died, and a third came to the end. */
export async function makeStreamCases(): Promise<readonly SealCase[]> {
  const said = ['first, ', 'second, ', 'third\n'].map((text) => Buffer.from(text))
  const stored = await sealInterrupted(said)
  const [one, two, three] = segmentsOf(stored)
  if (!one || !two || !three) throw new Error('three segments')
  const older = segmentsOf(await sealInterrupted(said))[1] ?? two
  const base = {
    ...{ kind: 'stream', stream, job_digest: jobDigest, workers: [worker.signer.publicKey] },
    ...{ named: [fingerprint(reader.publicKey)], pairs: [reader] },
  } as const
  const plain = Buffer.concat(said)
  const good = { ...base, what: 'interrupted twice', stored: opens(stored), opens: opens(plain) } as const
  const whole = sealStream([Buffer.from('a'), plain])
  const single = {
    ...base,
    what: 'of one segment',
    stored: opens(whole),
    opens: opens(Buffer.concat([Buffer.from('a'), plain])),
  } as const
  const rest = {
    ...good,
    what: 'from its third segment',
    stored: opens(three),
    at: one.length + two.length,
    opens: opens(said[2] ?? plain),
  }
  const cut = one.subarray(0, takeApart(one)[1]?.at)
  const context = { ...stream, kind: 'segment', segment: 1, offset: 0, at: cut.length }
  const moved = { context, previous: sha256(cut) }
  const attacks: Readonly<Record<string, Buffer>> = {
    reordered: Buffer.concat([two, one, three]),
    'the first segment dropped': Buffer.concat([two, three]),
    'the middle segment dropped': Buffer.concat([one, three]),
    'the last segment dropped': Buffer.concat([one, two]),
    'a segment twice': Buffer.concat([one, two, two, three]),
    'bytes behind the end': Buffer.concat([stored, Buffer.of(0)]),
    'cut off': stored.subarray(0, -1),
    'a frame dropped behind which it was interrupted': Buffer.concat([cut, two, three]),
    'an interruption that the worker did not sign': Buffer.concat([cut, forgeHeader(two, moved)]),
    'an older version of a segment': Buffer.concat([one, older, three]),
  }
  const elsewhere = { job_digest: sha256(''), stream: { ...stream, claim: ids.otherClaim } }
  return asCases([
    good,
    single,
    rest,
    { ...good, what: 'not ended yet', stored: opens(one), opens: opens(said[0] ?? plain), ended: false },
    ...Object.entries(attacks).map(([what, bytes]) => refuse(good, what, { stored: opens(bytes) })),
    refuse(single, 'of another job', { job_digest: elsewhere.job_digest }),
    refuse(single, 'of another claim', { stream: elsewhere.stream }),
    refuse(single, 'of a worker who is not trusted', { workers: [consumer.publicKey] }),
    refuse(single, 'a recipient who was not named', { named: [fingerprint(second.publicKey)] }),
    refuse(single, 'for somebody else', { pairs: [second] }),
    refuse(rest, 'from another place', { at: one.length }),
  ])
}

/** Each piece in a segment of its own; all writers but the last die before they say the end. */
async function sealInterrupted(pieces: readonly Buffer[]): Promise<Buffer> {
  let stored = Buffer.alloc(0)
  for (const piece of pieces) {
    const after = await findInterruption(async (at, target) => stored.copy(target, 0, at), stored.length)
    if (after === 'ended') throw new Error('it is interrupted each time')
    const segment = sealStream([piece], { after })
    const end = takeApart(segment).at(-1)
    stored = Buffer.concat([stored, piece === pieces.at(-1) ? segment : segment.subarray(0, end?.at)])
  }
  return stored
}
