// Enrollment: how a further worker of a binding and pond prove to each other that both know a printed code, across an orchestrator that knows it too little to forge.
import { createHmac } from 'node:crypto'
import type { BindingId, CodeId } from '../protocol/id.ts'
import type { EnrollBody, EnrollReply } from '../protocol/orch.ts'
import { canonicalBytes } from './canonical.ts'
import { isPrinter, type PairingCode, SECRET_BYTES } from './pairing.ts'
import { sameText } from './token.ts'

/** The secret of an enrollment code; none of a pairing code is ever the same. */
export function enrollmentSecret(tokenKey: Uint8Array, id: CodeId): Buffer {
  return createHmac('sha256', tokenKey).update(`enrollment\0${id}`).digest().subarray(0, SECRET_BYTES)
}

/** What a worker proves: that it asks this pond, for this binding, with this code, under these keys. */
export interface Enrollment {
  readonly pondKeyHash: Uint8Array
  readonly bindingId: BindingId
  readonly codeId: CodeId
  readonly said: Omit<EnrollBody, 'mac'>
}

/** The worker's MAC: HMAC-SHA-256 in lower-case hex over the RFC 8785 form of all of it. */
export function enrollmentMac(secret: Uint8Array, { pondKeyHash, bindingId, codeId, said }: Enrollment): string {
  const pond = Buffer.from(pondKeyHash).toString('base64url')
  return macOf(secret, { ...said, says: 'enroll', pond, binding_id: bindingId, code_id: codeId })
}

/** Pond's MAC over its reply. */
export function enrolledMac(secret: Uint8Array, codeId: CodeId, reply: Omit<EnrollReply, 'mac'>): string {
  const { worker_id, pond_key } = reply
  return macOf(secret, { says: 'enrolled', code_id: codeId, worker_id, pond_key })
}

/** For the worker: whether the reply is by the pond that printed the code, to the letter. Nothing of another one may be kept. */
export function isEnrolled(code: PairingCode, { mac, ...reply }: EnrollReply): boolean {
  return isPrinter(code, reply.pond_key) && sameText(mac, enrolledMac(code.secret, code.id, reply))
}

function macOf(secret: Uint8Array, said: object): string {
  return createHmac('sha256', secret).update(canonicalBytes(said)).digest('hex')
}
