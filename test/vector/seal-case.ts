// One case of the golden vectors: what is given and what it opens to, and how our own code opens it. reader.py reads the same cases.
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { digest, publicKey } from '../../src/protocol/field.ts'
import { claimId, jobId } from '../../src/protocol/id.ts'
import {
  bound,
  context,
  custody,
  custodyDetached,
  dsse,
  payloadType,
  type Sealed,
  sealedDetached,
  sealedInline,
} from '../../src/protocol/sealed.ts'
import { findExecution, openAttestation } from '../../src/seal/attestation.ts'
import { openBox } from '../../src/seal/box.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { openDsse } from '../../src/seal/dsse.ts'
import { readCustody, readCustodyDetached } from '../../src/seal/envelope.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { parseKey } from '../../src/seal/key-text.ts'
import { openGrant, openOwn } from '../../src/seal/open/envelope.ts'
import { openPayload } from '../../src/seal/open/frame.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { gather, sha256, sodium } from '../harness/seal.ts'
import { readStream } from '../harness/seal-stream.ts'

const pairs = z.array(z.strictObject({ publicKey, privateKey: publicKey })).readonly()
const outcome = {
  what: z.string(),
  /** Base64 of what it opens to. */
  opens: z.string().optional(),
  /** Its digest, where it is long. */
  sha256: digest.optional(),
  refused: z.literal(true).optional(),
}
/** What a reader is given may be anything: some of it is to be refused. */
const given = z.unknown()
const streamPlace = z.strictObject({ job: jobId, claim: claimId, stream: z.string() })

export const sealCase = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('box'), ...outcome, sealed: given, pairs, place: context, bound: bound.optional() }),
  z.strictObject({
    kind: z.literal('sealed'),
    ...outcome,
    sealed: given,
    pairs,
    place: context,
    named: z.array(z.string()).readonly().optional(),
    frames: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal('custody'),
    ...outcome,
    custody: given,
    pairs,
    place: context,
    frames: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal('grant'),
    ...outcome,
    signed: given,
    pairs,
    place: context,
    bound,
    pond_key: publicKey,
    job_signer: publicKey.optional(),
    frames: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal('signed'),
    ...outcome,
    signed: given,
    type: z.enum(['job', 'sealed', 'grant', 'rotation', 'statement']),
    key: publicKey,
  }),
  z.strictObject({
    kind: z.literal('attestation'),
    ...outcome,
    signed: given,
    key: publicKey,
    job: jobId,
    claim: claimId,
  }),
  z.strictObject({
    kind: z.literal('stream'),
    ...outcome,
    stored: z.string().optional(),
    file: z.string().optional(),
    at: z.int().optional(),
    ended: z.boolean().optional(),
    stream: streamPlace,
    job_digest: digest,
    workers: z.array(publicKey).readonly(),
    named: z.array(z.string()).readonly(),
    pairs,
  }),
  z.strictObject({ kind: z.literal('key text'), ...outcome, of: z.enum(['recipient', 'signer']), text: z.string() }),
  z.strictObject({ kind: z.literal('fingerprint'), ...outcome, keys: z.array(publicKey).readonly() }),
])
export type SealCase = z.infer<typeof sealCase>
export const caseFile = z.strictObject({ about: z.string(), cases: z.array(sealCase) })

type Of<K extends SealCase['kind']> = Extract<SealCase, { kind: K }>

/** What it opens to; undefined for what is refused. */
export async function outcomeOf(one: SealCase): Promise<Buffer | undefined> {
  try {
    return await open(one)
  } catch (error) {
    // The schema stands in front of whatever comes over the wire.
    if (error instanceof SealError || error instanceof z.ZodError) return undefined
    throw error
  }
}

async function open(one: SealCase): Promise<Buffer | undefined> {
  switch (one.kind) {
    case 'box': {
      const { sealed, bound, ...opening } = one
      const boxed = sealedInline.pick({ context: true, boxes: true }).parse(sealed)
      const { key } = openBox(sodium, boxed, { ...opening, ...(bound && { bound }) })
      return Buffer.from(key, 'base64url')
    }
    case 'sealed':
      return openSealed(one)
    case 'custody':
      return openCustody(one)
    case 'grant':
      return openGranted(one)
    case 'signed':
      return openDsse(dsse.parse(one.signed), payloadType[one.type], one.key)
    case 'attestation': {
      const found = findExecution(openAttestation(dsse.parse(one.signed), one.key), one.job, one.claim)
      return found && canonicalBytes(found.digests)
    }
    case 'stream':
      return openStream(one)
    case 'key text': {
      const key = parseKey(one.of, one.text)
      return key === undefined ? undefined : Buffer.from(key, 'base64url')
    }
    case 'fingerprint': {
      const [first = '', ...others] = one.keys
      return Buffer.from(fingerprint(first, ...others))
    }
  }
}

async function openSealed({ sealed, pairs, place, named, frames }: Omit<Of<'sealed'>, 'what'>): Promise<Buffer> {
  if (frames !== undefined) return openDetached(sealedDetached.parse(sealed), { pairs, place, frames })
  const all = named && { named: (to: string) => named.includes(to) }
  return openOwn(sodium, sealedInline.parse(sealed), { pairs, place, ...all })
}

async function openDetached(sealed: Sealed, wish: Pick<Of<'sealed'>, 'pairs' | 'place' | 'frames'>): Promise<Buffer> {
  const { key, context } = openBox(sodium, sealed, wish)
  return openFrames(sealed, wish.frames, { key: Buffer.from(key, 'base64url'), place: context })
}

async function openFrames(sealed: Sealed, frames: string | undefined, content: Parameters<typeof openPayload>[1]) {
  const bytes = Buffer.from(frames ?? ('frames' in sealed ? sealed.frames : ''), 'base64')
  const other = 'digest' in sealed && (sealed.digest !== sha256(bytes) || sealed.size !== bytes.length)
  if (other) throw new SealError('damaged')
  return gather(openPayload(sodium, content, [bytes]))
}

async function openCustody({ custody: handed, frames, ...wish }: Of<'custody'>): Promise<Buffer> {
  if (frames === undefined) return openSealed({ ...wish, kind: 'sealed', ...readCustody(custody.parse(handed)) })
  const { sealed } = readCustodyDetached(custodyDetached.parse(handed))
  return openDetached(sealed, { ...wish, frames })
}

async function openGranted({ signed, pond_key, job_signer, frames, ...wish }: Of<'grant'>): Promise<Buffer> {
  const expected = { sodium, pondKey: pond_key, jobSigner: job_signer, ...wish }
  const { sealed, content } = openGrant(expected, dsse.parse(signed))
  return openFrames(sealed, frames, content)
}

async function openStream(one: Of<'stream'>): Promise<Buffer | undefined> {
  const stored = one.file === undefined ? Buffer.from(one.stored ?? '', 'base64') : await readFile(one.file)
  const { bytes, ended } = readStream(stored, {
    stream: one.stream,
    jobDigest: one.job_digest,
    pairs: one.pairs,
    trusts: (key) => one.workers.includes(key),
    named: (to) => one.named.includes(to),
    at: one.at ?? 0,
  })
  return ended === (one.ended ?? true) ? bytes : undefined
}

/** Whether it came out as the case says. */
export async function isRight(one: SealCase): Promise<boolean> {
  const opened = await outcomeOf(one)
  if (one.refused || opened === undefined) return one.refused === true && opened === undefined
  return one.sha256 === undefined ? opened.toString('base64') === one.opens : sha256(opened) === one.sha256
}
