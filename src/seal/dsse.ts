// DSSE 1.0: exact bytes with their type, signed. Verified before they are parsed; bytes as they came are what is parsed.
import type { Dsse } from '../protocol/sealed.ts'
import { SealError } from './refusal.ts'
import { isSignedBy, type Signer } from './signature.ts'

export function signDsse(payloadType: string, payload: Uint8Array, signer: Signer): Dsse {
  const sig = signer.sign(encode(payloadType, payload)).toString('base64')
  return {
    payloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: [{ keyid: signer.publicKey, sig }],
  }
}

/** The payload, if it is of this type and this key signed it; else a SealError. Signatures by other keys say nothing here. */
export function openDsse(dsse: Dsse, payloadType: string, publicKey: string): Buffer {
  const payload = Buffer.from(dsse.payload, 'base64')
  const bytes = encode(payloadType, payload)
  const signed = dsse.signatures.some(
    ({ keyid, sig }) => keyid === publicKey && isSignedBy(publicKey, bytes, Buffer.from(sig, 'base64')),
  )
  if (dsse.payloadType !== payloadType || !signed) throw new SealError('bad_signature')
  return payload
}

/** Pre-authentication encoding: what is really signed. */
function encode(payloadType: string, payload: Uint8Array): Buffer {
  const type = Buffer.from(payloadType)
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload])
}
