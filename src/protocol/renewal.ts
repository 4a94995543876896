// How what a binding proves itself with is replaced: its token and keys by rotations, and the keys of an hour for its calls.
import { z } from 'zod'
import { publicKey, wallMs } from './field.ts'
import { bindingId, workerId } from './id.ts'
import { limit } from './limit.ts'
import { dsse } from './sealed.ts'

/** What the payload of a rotation says; signed by the key that is replaced. */
export const rotation = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('binding'), binding_id: bindingId, binding_key: publicKey }),
  z.strictObject({ kind: z.literal('worker'), worker_id: workerId, sealing_key: publicKey, signing_key: publicKey }),
  z.strictObject({ kind: z.literal('pond'), signing_key: publicKey, sealing_key: publicKey }),
])
export type Rotation = z.infer<typeof rotation>

export const rotateBody = z.strictObject({
  /** A rotation of the binding's key. */
  binding: dsse.optional(),
  /** Rotations of workers' keys. */
  workers: z.array(dsse).max(limit.workersPerBinding).optional(),
})
export type RotateBody = z.infer<typeof rotateBody>
export const rotateReply = z.object({
  token: z.string(),
  token_expires_at: wallMs,
  /** Those whose offered keys are in force. A worker that is shut out keeps its own, which nobody believes. */
  workers: z.array(workerId),
  pond_key: publicKey,
  /** Where pond's key is not the one that this binding knows: each step from that one on, signed by the one before. */
  pond_rotations: z.array(dsse),
})
export type RotateReply = z.infer<typeof rotateReply>

export const callKeyBody = z.strictObject({
  /** X25519, made for this call. */
  half: publicKey,
})
/** What the payload of the reply says; both sides derive the secret from their half, the other's and these bytes. */
export const callKeyTerms = z.object({
  binding_id: bindingId,
  /** The `keyid` of calls from then on. */
  call_key: z.string().min(8).max(128),
  swarm_half: publicKey,
  pond_half: publicKey,
  expires_at: wallMs,
  /** Left out by a pond that takes digests of bodies alone. */
  body_mac: z.unknown().optional(),
})
export type CallKeyTerms = z.infer<typeof callKeyTerms>
export const callKeyReply = z.object({
  /** By the pond key that the binding knows. */
  signed: dsse,
})
