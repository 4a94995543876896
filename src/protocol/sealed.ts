// What is sealed or signed as it stands on the wire: contexts, sealed objects and DSSE envelopes. Bytes are base64, keys unpadded base64url.
import { z } from 'zod'
import { digest, name, publicKey } from './field.ts'
import { claimId, jobId, workerId } from './id.ts'
import { limit } from './limit.ts'

// Bytes have one text: bits that a lenient decoder drops must be zero, and padding must be whole.
const base64 = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[A-Za-z0-9+/]*([AQgw]==|[AEIMQUYcgkosw048]=)?$/, 'must be base64')
    .refine((text) => text.length % 4 === 0, 'must be base64')
const base64url = (most: number) =>
  z
    .string()
    .max(most)
    .regex(
      /^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$/,
      'must be unpadded base64url',
    )

/** Short form of one or more keys that two people can compare by eye: eight groups of four hex digits. */
export const fingerprintText = z
  .string()
  .regex(/^[0-9a-f]{4}(-[0-9a-f]{4}){7}$/, 'must be eight groups of four hex digits')

/** What may be sealed. The same words stand inside the box, so an opener who expects another place refuses. */
export const credentialContext = z.strictObject({
  kind: z.literal('credential'),
  project: name,
  name,
  /** Ed25519 key of the consumer who must also have signed it and the job: client custody. */
  signer: publicKey.optional(),
})
export const bundleContext = z.strictObject({
  kind: z.literal('bundle'),
  project: name,
  signer: publicKey.optional(),
})
/** Error text, result, events and names of artifacts of a confidential job. */
export const privateContext = z.strictObject({
  kind: z.literal('private'),
  job: jobId,
  claim: claimId,
  /** `end`, or the id of an event. */
  part: z.string().min(1).max(128),
})
/** One segment of a stream: its number, and where it starts in plaintext and among the stored bytes. */
export const segmentContext = z.strictObject({
  kind: z.literal('segment'),
  job: jobId,
  claim: claimId,
  stream: z.string().min(1).max(64),
  segment: z.int().min(0),
  offset: z.int().min(0),
  at: z.int().min(0),
})
export type SegmentContext = z.infer<typeof segmentContext>
export const context = z.discriminatedUnion('kind', [credentialContext, bundleContext, privateContext, segmentContext])
export type Context = z.infer<typeof context>

/** A content key was sealed anew to one worker for one claim: nobody else may use it, and nowhere else. */
export const bound = z.strictObject({ job: jobId, claim: claimId, worker: workerId })
export type Bound = z.infer<typeof bound>

/** A content key and its context, sealed to one key. */
export const box = z.strictObject({
  /** Fingerprint of the key it is sealed to. */
  to: fingerprintText,
  box: base64url(4096),
})
export type Box = z.infer<typeof box>

const boxes = z
  .array(box)
  .min(1)
  .max(limit.recipients)
  .refine((all) => new Set(all.map(({ to }) => to)).size === all.length, 'must not hold two boxes for one key')

const sealedShape = {
  format: z.literal(1),
  context,
  boxes,
}

/** Small things, frames and all. */
export const sealedInline = z.strictObject({
  ...sealedShape,
  /** The secretstream: header and frames. */
  frames: base64(limit.sealedInlineBytes),
})
/** Large things: the frames lie elsewhere and are known by their digest. */
export const sealedDetached = z.strictObject({ ...sealedShape, digest, size: z.int().min(1).max(limit.bundleBytes) })
export type SealedInline = z.infer<typeof sealedInline>
export type SealedDetached = z.infer<typeof sealedDetached>
export type Sealed = SealedInline | SealedDetached

/** What opens each segment of a sealed stream, signed by the worker. */
export const segmentHeader = z.strictObject({
  format: z.literal(1),
  context: segmentContext,
  /** SHA-256 of the job's exact bytes. */
  job_digest: digest,
  /** SHA-256 of the segment before it, as far as that goes where its writer was interrupted; null for the first. */
  previous: digest.nullable(),
  boxes,
  /** The worker's Ed25519 key. */
  worker: publicKey,
})
export type SegmentHeader = z.infer<typeof segmentHeader>

/** What the last frame of each segment holds. Only the stream's last says `end`; the others are filled up with spaces. */
export const segmentTrailer = z.union([
  z.strictObject({ end: z.literal(false) }),
  z.strictObject({
    end: z.literal(true),
    /** Plaintext of the whole stream, and its SHA-256; absent where a writer went on that did not hash it from the beginning. */
    bytes: z.int().min(0),
    sha256: digest.optional(),
  }),
])
export type SegmentTrailer = z.infer<typeof segmentTrailer>

/** DSSE 1.0. The signature covers the exact bytes of the payload, and its type. */
export const dsse = z.strictObject({
  payloadType: z.string().min(1).max(128),
  payload: base64(limit.bodyBytes),
  signatures: z
    .array(
      z.strictObject({
        /** The Ed25519 public key that verifies it. */
        keyid: publicKey,
        sig: base64(88),
      }),
    )
    .min(1)
    .max(8)
    .refine(
      (all) => new Set(all.map(({ keyid }) => keyid)).size === all.length,
      'must not hold two signatures of one key',
    ),
})
export type Dsse = z.infer<typeof dsse>

export const payloadType = {
  /** The exact bytes of a job. */
  job: 'application/vnd.pond.job+json',
  /** A sealed object by its consumer. */
  sealed: 'application/vnd.pond.sealed+json',
  /** A sealed object for one claim, by pond. */
  grant: 'application/vnd.pond.grant+json',
  /** New keys, by the old one. */
  rotation: 'application/vnd.pond.rotation+json',
  /** What a call key was agreed on, by pond. */
  callKey: 'application/vnd.pond.call-key+json',
  /** In-toto's own. */
  statement: 'application/vnd.in-toto+json',
} as const

/** What a consumer hands in: sealed to pond, or sealed to workers and signed. */
export const custody = z.union([z.strictObject({ sealed: sealedInline }), z.strictObject({ signed: dsse })])
export type Custody = z.infer<typeof custody>
export const custodyDetached = z.union([z.strictObject({ sealed: sealedDetached }), z.strictObject({ signed: dsse })])
export type CustodyDetached = z.infer<typeof custodyDetached>

/** The payload of a grant: what pond signs for one claim. `signed` is passed on as its consumer signed it. */
export const grant = z.union([
  z.strictObject({ bound, sealed: z.union([sealedInline, sealedDetached]) }),
  z.strictObject({ bound, signed: dsse }),
])
export type Grant = z.infer<typeof grant>

/** Env values and files of a credential; file contents in base64. */
export const credentialValues = z.strictObject({
  env: z.record(z.string(), z.string()).optional(),
  files: z.record(z.string(), base64(limit.sealedInlineBytes)).optional(),
})
export type CredentialValues = z.infer<typeof credentialValues>
