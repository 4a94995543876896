// What proves, on both sides, that a further worker and pond share the secret of an enrollment code. The secret itself never travels.
import { createHmac } from 'node:crypto'
import type { BindingId, CodeId, WorkerId } from '../protocol/id.ts'
import type { EnrollBody } from '../protocol/orch.ts'
import { canonicalBytes } from './canonical.ts'

/** Where the body is good: nowhere but with this pond, this binding and this code. */
export interface EnrollmentClaim extends Omit<EnrollBody, 'mac'> {
  readonly pond_id: string
  readonly binding_id: BindingId
  readonly code_id: CodeId
}

/** HMAC-SHA-256 in lower-case hex. */
export function enrollmentMac(secret: Uint8Array, claim: EnrollmentClaim): string {
  return mac(secret, 'enroll', claim)
}

/** Pond's answer: whoever stands between cannot put another worker or another pond in its place. */
export function enrollmentReplyMac(
  secret: Uint8Array,
  reply: { readonly code_id: CodeId; readonly worker_id: WorkerId; readonly pond_key: string },
): string {
  return mac(secret, 'enrolled', reply)
}

/** The word in front keeps what one side says from passing for what the other says. */
function mac(secret: Uint8Array, word: string, value: object): string {
  return createHmac('sha256', secret).update(`${word}\0`).update(canonicalBytes(value)).digest('hex')
}
