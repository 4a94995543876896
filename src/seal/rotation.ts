// Rotations: new keys signed by the key that they replace. Whoever pinned an old key follows them one by one.
import { type Rotation, rotation } from '../protocol/orch.ts'
import { type Dsse, payloadType } from '../protocol/sealed.ts'
import { canonicalBytes } from './canonical.ts'
import { openDsse, signDsse } from './dsse.ts'
import { SealError } from './refusal.ts'
import type { Signer } from './signature.ts'

/** `signer` holds the key that is replaced. */
export function signRotation(said: Rotation, signer: Signer): Dsse {
  return signDsse(payloadType.rotation, canonicalBytes(said), signer)
}

/** What a rotation says, if this key signed it; else a SealError. */
export function openRotation(signed: Dsse, signingKey: string): Rotation {
  const bytes = openDsse(signed, payloadType.rotation, signingKey)
  try {
    return rotation.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}

/** Pond's key of now, from the pinned one on; a SealError where a step is missing or not signed by the one before. */
export function followPondKey(pinned: string, rotations: readonly Dsse[]): string {
  return rotations.reduce((key, signed) => {
    const said = openRotation(signed, key)
    if (said.kind !== 'pond') throw new SealError('wrong_place')
    return said.signing_key
  }, pinned)
}
