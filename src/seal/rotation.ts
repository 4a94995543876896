// Rotations: new keys, signed by the ones they replace. Who knows an old key follows them to the key of now.
import { type Rotation, rotation } from '../protocol/orch.ts'
import { type Dsse, payloadType } from '../protocol/sealed.ts'
import { canonicalBytes } from './canonical.ts'
import { openDsse, signDsse } from './dsse.ts'
import { SealError } from './refusal.ts'
import type { Signer } from './signature.ts'

export type RotationOf<K extends Rotation['kind']> = Extract<Rotation, { readonly kind: K }>

export function signRotation(said: Rotation, signer: Signer): Dsse {
  return signDsse(payloadType.rotation, canonicalBytes(said), signer)
}

/** What a rotation of this kind says, if this key signed it; else a SealError. */
export function openRotation<K extends Rotation['kind']>(signed: Dsse, kind: K, key: string): RotationOf<K> {
  const said = parse(openDsse(signed, payloadType.rotation, key))
  if (said.kind !== kind) throw new SealError('wrong_place')
  return said as RotationOf<K>
}

/**
 * For swarm and consumers: from the pond key that they pinned to the one that pond announces, each step signed by the key before it. Undefined when they are
 * the same; a SealError where the chain has a gap, leads elsewhere or leads nowhere new.
 */
export function followPondKey(
  pinned: string,
  { pond_key, pond_rotations }: { readonly pond_key: string; readonly pond_rotations: readonly Dsse[] },
): RotationOf<'pond'> | undefined {
  let latest: RotationOf<'pond'> | undefined
  for (const signed of pond_rotations) latest = openRotation(signed, 'pond', latest?.signing_key ?? pinned)
  if ((latest?.signing_key ?? pinned) !== pond_key) throw new SealError('untrusted')
  return latest
}

function parse(bytes: Buffer): Rotation {
  try {
    return rotation.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}
