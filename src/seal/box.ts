// Boxes: a content key with its context, sealed to one X25519 key. Opening one gives the key, never what it opens.
import { z } from 'zod'
import { publicKey } from '../protocol/field.ts'
import { type Bound, type Box, bound, type Context, context, type Sealed } from '../protocol/sealed.ts'
import { canonicalBytes, parseCanonical } from './canonical.ts'
import { fingerprint } from './fingerprint.ts'
import type { KeyPair } from './key.ts'
import { SealError } from './refusal.ts'
import type { Sodium } from './sodium.ts'

/** What a box holds. A sealed box alone binds no place and has no sender, so the place stands inside. */
const capsule = z.strictObject({
  /** The content key: 32 bytes in unpadded base64url. */
  key: publicKey,
  context,
  bound: bound.optional(),
})
export type Capsule = z.infer<typeof capsule>

/** What boxes stand in, and the place that it says it is for. */
export type Boxed = Pick<Sealed, 'context' | 'boxes'>

export interface Opening {
  readonly pairs: readonly KeyPair[]
  /** Where it was found. */
  readonly place: Context
  /** For which claim pond sealed the box anew; a box that names one opens nowhere else, and one that names none does not open there. */
  readonly bound?: Bound
}

export function sealBox(sodium: typeof Sodium, to: string, content: Capsule): Box {
  const sealed = seal(sodium, canonicalBytes(content), Buffer.from(to, 'base64url'))
  return { to: fingerprint(to), box: Buffer.from(sealed).toString('base64url') }
}

/** One box for each recipient; who is named twice gets one. */
export function sealBoxes(sodium: typeof Sodium, recipients: readonly string[], content: Capsule): Box[] {
  if (recipients.length === 0) throw new Error('what is sealed to nobody is lost')
  return [...new Set(recipients)].map((to) => sealBox(sodium, to, content))
}

function seal(sodium: typeof Sodium, bytes: Uint8Array, to: Uint8Array): Uint8Array {
  try {
    return sodium.crypto_box_seal(bytes, to)
  } catch {
    // Of small order: whatever is sealed to it, anybody opens.
    throw new SealError('bad_key')
  }
}

/** Opens the box that is for one of these pairs, and requires that inside and outside it names this place. */
export function openBox(sodium: typeof Sodium, sealed: Boxed, { pairs, place, bound }: Opening): Capsule {
  if (!isSame(sealed.context, place)) throw new SealError('wrong_place')
  for (const pair of pairs) {
    const mine = sealed.boxes.find(({ to }) => to === fingerprint(pair.publicKey))
    if (!mine) continue
    const opened = parseCanonical(capsule.parse, open(sodium, mine, pair))
    if (!isSame(opened.context, place) || !isSame(opened.bound, bound)) throw new SealError('wrong_place')
    return opened
  }
  throw new SealError('not_for_you')
}

function open(sodium: typeof Sodium, { box }: Box, { publicKey, privateKey }: KeyPair): Buffer {
  const [sealed, ours, secret] = [box, publicKey, privateKey].map((text) => Buffer.from(text, 'base64url'))
  try {
    return Buffer.from(sodium.crypto_box_seal_open(sealed ?? empty, ours ?? empty, secret ?? empty))
  } catch {
    throw new SealError('damaged')
  }
}

const empty = new Uint8Array()

/** Whether two places, or two claims, are one; also when there is none on either side. */
export function isSame(one: Context | Bound | undefined, other: Context | Bound | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return canonicalBytes(one).equals(canonicalBytes(other))
}

/** Opens content key and context with one's own pair and seals them to one worker for one claim. What they open stays shut. */
export function resealBox(
  sodium: typeof Sodium,
  { sealed, pairs, place }: Opening & { readonly sealed: Boxed },
  to: { readonly sealingKey: string; readonly bound: Bound },
): Box {
  const { key, context } = openBox(sodium, sealed, { pairs, place })
  return sealBox(sodium, to.sealingKey, { key, context, bound: to.bound })
}
