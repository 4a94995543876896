// Every field and a sample of the bytes of every sealed or signed object, changed: all are refused, by the one error that says nothing.
import fc from 'fast-check'
import t from 'tap'
import { z } from 'zod'
import { custody, dsse, payloadType, sealedDetached, sealedInline } from '../../src/protocol/sealed.ts'
import { attest, describeExecution, openAttestation } from '../../src/seal/attestation.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { openDsse, signDsse } from '../../src/seal/dsse.ts'
import {
  grantSealed,
  grantSigned,
  readCustody,
  requireOpenable,
  sealDetached,
  sealInline,
  signSealed,
} from '../../src/seal/envelope.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { openGrant, openInline, openOwn } from '../../src/seal/open/envelope.ts'
import { openPayload } from '../../src/seal/open/frame.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { openRotation } from '../../src/seal/rotation.ts'
import { systemRandom } from '../../src/system/random.ts'
import { type Mutation, mutateBytes, mutateValue } from '../harness/mutation.ts'
import {
  bound,
  gather,
  ids,
  jobBytes,
  jobDigest,
  outsideMessage,
  places,
  sealingPair,
  sha256,
  signerOf,
  sodium,
} from '../harness/seal.ts'

const pond = { pair: sealingPair('pond'), signer: signerOf('pond') }
const worker = { pair: sealingPair('worker'), signer: signerOf('worker') }
const consumer = signerOf('consumer')
const reader = sealingPair('reader')
const secret = Buffer.from('a secret')
const signedPlace = { ...places.credential, signer: consumer.publicKey }
const random = systemRandom

/** An object as it stands on the wire, and what its reader does with it: parse, then open. */
interface Subject {
  readonly value: unknown
  open(value: unknown): unknown
  /** Texts that are bytes, by their path: these bytes are changed too. */
  readonly encoded: Readonly<Record<string, 'base64' | 'base64url'>>
  /** Changes of fields and of encoded bytes. A smaller number means that something is no longer tried. */
  readonly changes: number
}

const inline = await sealInline({ sodium, random, context: places.private, recipients: [reader.publicKey] }, secret)
const toPond = await sealInline(
  { sodium, random, context: places.credential, recipients: [pond.pair.publicKey] },
  secret,
)
const toWorker = await sealInline({ sodium, random, context: signedPlace, recipients: [worker.pair.publicKey] }, secret)
const detachedSealing = sealDetached(
  { sodium, random, context: places.bundle, recipients: [pond.pair.publicKey] },
  (async function* () {
    yield secret
  })(),
)
const detachedFrames = await gather(detachedSealing.frames)
const detached = detachedSealing.finish()
const signed = signSealed(toWorker, consumer)
const granting = {
  sodium,
  pairs: [pond.pair],
  place: places.credential,
  sealingKey: worker.pair.publicKey,
  bound,
  signer: pond.signer,
}
const expected = { sodium, pairs: [worker.pair], pondKey: pond.signer.publicKey, bound, place: places.credential }
const execution = describeExecution(
  {
    job_id: ids.job,
    claim_id: ids.claim,
    cause: 'exit',
    rc: 0,
    streams: { stdout: { bytes: 5, sha256: sha256('hello'), produced: 5, end: 'complete' } },
  },
  { job_digest: jobDigest, epoch: 1 },
)
const turned = { kind: 'pond', signing_key: pond.signer.publicKey, sealing_key: pond.pair.publicKey }
const asDsse = { payload: 'base64', 'signatures.0.sig': 'base64' } as const

async function openGranted(value: unknown, jobSigner?: string) {
  const { sealed, content } = openGrant({ ...expected, jobSigner }, dsse.parse(value))
  return openInline(sodium, sealed, content)
}

const subjects: Readonly<Record<string, Subject>> = {
  inline: {
    value: inline,
    open: (value) =>
      openOwn(sodium, sealedInline.parse(value), {
        pairs: [reader],
        place: places.private,
        named: (to) => to === fingerprint(reader.publicKey),
      }),
    encoded: { frames: 'base64', 'boxes.0.box': 'base64url' },
    changes: 410,
  },
  detached: {
    value: detached,
    open: (value) => {
      const sealed = sealedDetached.parse(value)
      requireOpenable(sodium, sealed, { pairs: [pond.pair], place: places.bundle })
      // Whoever fetches the frames compares these.
      if (sealed.digest !== sha256(detachedFrames) || sealed.size !== detachedFrames.length)
        throw new SealError('damaged')
    },
    encoded: { 'boxes.0.box': 'base64url' },
    changes: 304,
  },
  'custody by a consumer': {
    value: { signed },
    open: (value) => {
      const { sealed } = readCustody(custody.parse(value))
      return openOwn(sodium, sealed, { pairs: [worker.pair], place: signedPlace })
    },
    encoded: { 'signed.payload': 'base64', 'signed.signatures.0.sig': 'base64' },
    changes: 346,
  },
  'grant by pond': {
    value: grantSealed(granting, toPond),
    open: (value) => openGranted(value),
    encoded: asDsse,
    changes: 338,
  },
  'grant of what a consumer signed': {
    value: grantSigned(pond.signer, bound, signed),
    open: (value) => openGranted(value, consumer.publicKey),
    encoded: asDsse,
    changes: 338,
  },
  'signed job': {
    value: signDsse(payloadType.job, jobBytes, consumer),
    open: (value) => openDsse(dsse.parse(value), payloadType.job, consumer.publicKey),
    encoded: asDsse,
    changes: 230,
  },
  attestation: {
    value: attest(worker.signer, { worker: ids.worker, version: '0.1.0' }, [execution]),
    open: (value) => openAttestation(dsse.parse(value), worker.signer.publicKey),
    encoded: asDsse,
    changes: 338,
  },
  rotation: {
    value: signDsse(payloadType.rotation, canonicalBytes(turned), pond.signer),
    open: (value) => openRotation(dsse.parse(value), 'pond', pond.signer.publicKey),
    encoded: asDsse,
    changes: 338,
  },
}

/** `refused` by a SealError or by the schema in front of it; `opened`; anything else is a crash and goes through. */
async function outcomeOf(open: () => unknown): Promise<'refused' | 'opened'> {
  try {
    await open()
    return 'opened'
  } catch (error) {
    if (error instanceof z.ZodError) return 'refused'
    if (error instanceof SealError && error.message === outsideMessage) return 'refused'
    throw error
  }
}

for (const [name, subject] of Object.entries(subjects)) {
  t.test(name, async (t) => {
    t.equal(await outcomeOf(() => subject.open(subject.value)), 'opened', 'unchanged')
    let refused = 0
    for (const { what, value } of changesOf(subject)) {
      // What a change looks like on the wire.
      const wire: unknown = JSON.parse(JSON.stringify(value))
      if ((await outcomeOf(() => subject.open(wire))) === 'refused') refused++
      else t.fail(what)
    }
    t.equal(refused, subject.changes)
    await t.resolves(
      fc.assert(
        fc.asyncProperty(fc.jsonValue(), async (noise) => (await outcomeOf(() => subject.open(noise))) === 'refused'),
      ),
    )
  })
}

function* changesOf({ value, encoded }: Subject): Generator<Mutation<unknown>> {
  yield* mutateValue(value)
  for (const [path, encoding] of Object.entries(encoded)) {
    const text = String(path.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], value))
    for (const { what, value: changed } of mutateBytes(Buffer.from(text, encoding), 128)) {
      const other = replaceIn(value, path.split('.'), changed.toString(encoding))
      yield { what: `${path}: ${what}`, value: other }
    }
  }
}

function replaceIn(value: unknown, [step, ...rest]: readonly string[], text: string): unknown {
  if (step === undefined) return text
  const inner = replaceIn((value as Record<string, unknown>)[step], rest, text)
  return Array.isArray(value) ? value.with(Number(step), inner) : { ...(value as object), [step]: inner }
}

/** What stands inside a signature or a box, changed and then signed or sealed again by who may: a wrong place, or no such thing. */
const inner: Readonly<Record<string, Omit<Subject, 'encoded'>>> = {
  'inside a grant, signed again by pond': {
    value: payloadOf(grantSealed(granting, toPond)),
    open: (value) => openGranted(signDsse(payloadType.grant, canonicalBytes(value), pond.signer)),
    changes: 290,
  },
  'inside a grant of what a consumer signed, signed again by pond': {
    value: payloadOf(grantSigned(pond.signer, bound, signed)),
    open: (value) => openGranted(signDsse(payloadType.grant, canonicalBytes(value), pond.signer), consumer.publicKey),
    changes: 241,
  },
  'inside what a consumer signed, signed again': {
    value: toWorker,
    open: (value) => {
      const again = signDsse(payloadType.sealed, canonicalBytes(value), consumer)
      return openGranted(grantSigned(pond.signer, bound, again), consumer.publicKey)
    },
    changes: 216,
  },
  'inside a box, sealed again': {
    value: capsuleOf(inline, reader),
    open: (value) => {
      const to = Buffer.from(reader.publicKey, 'base64url')
      const box = Buffer.from(sodium.crypto_box_seal(canonicalBytes(value), to)).toString('base64url')
      const boxes = [{ to: fingerprint(reader.publicKey), box }]
      return openOwn(sodium, { ...inline, boxes }, { pairs: [reader], place: places.private })
    },
    changes: 138,
  },
}

for (const [name, { value: original, open, changes }] of Object.entries(inner)) {
  t.test(name, async (t) => {
    t.equal(await outcomeOf(() => open(original)), 'opened', 'unchanged')
    let refused = 0
    for (const { what, value } of mutateValue(original)) {
      if ((await outcomeOf(() => open(value))) === 'refused') refused++
      else t.fail(what)
    }
    t.equal(refused, changes)
  })
}

t.test('frames under another key or place', async (t) => {
  const content = { key: Buffer.alloc(32), place: places.bundle }
  t.equal(await outcomeOf(() => gather(openPayload(sodium, content, [detachedFrames]))), 'refused')
})

function payloadOf({ payload }: { readonly payload: string }): unknown {
  return JSON.parse(Buffer.from(payload, 'base64').toString())
}

function capsuleOf(sealed: typeof inline, pair: typeof reader): unknown {
  const [box] = sealed.boxes
  const bytes = (text: string) => Buffer.from(text, 'base64url')
  const opened = sodium.crypto_box_seal_open(bytes(box?.box ?? ''), bytes(pair.publicKey), bytes(pair.privateKey))
  return JSON.parse(Buffer.from(opened).toString())
}
