// Call keys: a secret that a swarm and its pond agree on, so that a call costs a MAC instead of a signature. By X25519 with halves that are made for this
// alone and live in memory alone; swarm's half comes in a call that its binding key signed, pond's is signed by the key that swarm has pinned.
import { createHash, createPrivateKey, createPublicKey, diffieHellman, hkdfSync, type KeyObject } from 'node:crypto'
import { type CallKeyTerms, callKeyTerms } from '../protocol/renewal.ts'
import { type Dsse, payloadType } from '../protocol/sealed.ts'
import type { Random } from '../system/random.ts'
import { BODY_MAC, canMacBodies } from './body-mac.ts'
import { canonicalBytes } from './canonical.ts'
import { openDsse, signDsse } from './dsse.ts'
import { SealError } from './refusal.ts'
import type { Signer } from './signature.ts'

export interface CallKey {
  readonly id: string
  /** 32 bytes. */
  readonly secret: Buffer
  /** Wall time of pond in milliseconds. */
  readonly expiresAt: number
  /** Both sides can make MACs of bodies under it. */
  readonly macsBodies: boolean
}

/** One half: what it shows, and what it comes to with another. */
export interface Half {
  /** X25519, 32 bytes in unpadded base64url. */
  readonly shown: string
  /** 32 bytes. Throws for a half that is no key, or a weak one. */
  meet(other: string): Buffer
}

export function makeHalf(random: Random): Half {
  const own = createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, random.bytes(KEY_BYTES)]),
    format: 'der',
    type: 'pkcs8',
  })
  const { x: shown = '' } = createPublicKey(own).export({ format: 'jwk' })
  return { shown, meet: (other) => diffieHellman({ privateKey: own, publicKey: importHalf(other) }) }
}

/** Pond's side: what both will know, in its own signature. A SealError for a half that is none. */
export function grantCallKey(
  half: Half,
  terms: Omit<CallKeyTerms, 'pond_half' | 'body_mac'>,
  signer: Signer,
): { readonly key: CallKey; readonly signed: Dsse } {
  const both: CallKeyTerms = { ...terms, pond_half: half.shown, ...(canMacBodies() && { body_mac: BODY_MAC }) }
  const payload = canonicalBytes(both)
  const key = keyFrom(half, { payload, other: terms.swarm_half, terms: both })
  return { key, signed: signDsse(payloadType.callKey, payload, signer) }
}

/** Swarm's side. A SealError for anything but the answer of that pond to this half of that binding. */
export function acceptCallKey(
  half: Half,
  signed: Dsse,
  { bindingId, pondKey }: { readonly bindingId: string; readonly pondKey: string },
): CallKey {
  const payload = openDsse(signed, payloadType.callKey, pondKey)
  const terms = callKeyTerms.safeParse(JSON.parse(payload.toString()))
  if (!terms.success) throw new SealError('damaged')
  const { binding_id, swarm_half, pond_half: other } = terms.data
  if (binding_id !== bindingId || swarm_half !== half.shown) throw new SealError('wrong_place')
  return keyFrom(half, { payload, other, terms: terms.data })
}

interface Agreed {
  readonly payload: Buffer
  readonly other: string
  readonly terms: CallKeyTerms
}

/** Whoever read or changed anything of what was agreed comes to another secret. */
function keyFrom(half: Half, { payload, other, terms }: Agreed): CallKey {
  const salt = createHash('sha256').update(payload).digest()
  const secret = Buffer.from(hkdfSync('sha256', meeting(half, other), salt, 'pond-call-key', KEY_BYTES))
  const macsBodies = terms.body_mac === BODY_MAC && canMacBodies()
  return { id: terms.call_key, secret, expiresAt: terms.expires_at, macsBodies }
}

function meeting(half: Half, other: string): Buffer {
  try {
    return half.meet(other)
  } catch {
    // OpenSSL refuses points of small order, whose secret everybody knows.
    throw new SealError('untrusted')
  }
}

function importHalf(shown: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: shown }, format: 'jwk' })
}

const KEY_BYTES = 32
/** What stands before the 32 bytes of a private key (RFC 8410, section 7). */
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
