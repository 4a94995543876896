// Rotations: new keys, signed by the ones they replace. Who knows an old key follows them to the key of now.
import { type Rotation, rotation } from '../protocol/renewal.ts'
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

/** A worker's keys as pond shows them, with the rotations that led to them, oldest first. */
export interface ShownKeys {
  readonly id: string
  readonly sealing_key: string
  readonly signing_key: string
  readonly rotations?: readonly Dsse[] | undefined
}

/** For consumers: what followed the pinned signing key of a worker, step by step, the last as pond shows it. A SealError where nothing proves it. */
export function followWorkerKeys(
  pinned: string,
  { id, sealing_key, signing_key, rotations = [] }: ShownKeys,
): readonly RotationOf<'worker'>[] {
  const first = rotations.findIndex(({ signatures }) => signatures[0]?.keyid === pinned)
  const steps: RotationOf<'worker'>[] = []
  const met = new Set([pinned])
  for (const signed of first < 0 ? [] : rotations.slice(first)) {
    const step = openRotation(signed, 'worker', steps.at(-1)?.signing_key ?? pinned)
    if (step.worker_id !== id || met.has(step.signing_key)) throw new SealError('wrong_place')
    met.add(step.signing_key)
    steps.push(step)
  }
  const last = steps.at(-1)
  if (last?.signing_key !== signing_key || last.sealing_key !== sealing_key) throw new SealError('untrusted')
  return steps
}

function parse(bytes: Buffer): Rotation {
  const said = read(bytes)
  if (!said || !canonicalBytes(said).equals(bytes)) throw new SealError('damaged')
  return said
}

function read(bytes: Buffer): Rotation | undefined {
  try {
    return rotation.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    return undefined
  }
}
