// Boxes: a content key with its context, sealed to one X25519 key. Opening one gives the key, never what it opens.
import { z } from 'zod'
import { publicKey } from '../protocol/field.ts'
import { type Bound, type Box, bound, type Context, context } from '../protocol/sealed.ts'
import { canonicalBytes } from './canonical.ts'
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

export function sealBox(sodium: typeof Sodium, to: string, content: Capsule): Box {
  const sealed = sodium.crypto_box_seal(canonicalBytes(content), Buffer.from(to, 'base64url'))
  return { to: fingerprint(to), box: Buffer.from(sealed).toString('base64url') }
}

/** Opens the box that is for one of these pairs, and requires that it was sealed for this place. */
export function openBox(
  sodium: typeof Sodium,
  {
    boxes,
    pairs,
    place,
  }: { readonly boxes: readonly Box[]; readonly pairs: readonly KeyPair[]; readonly place: Context },
): Capsule {
  for (const pair of pairs) {
    const mine = boxes.find(({ to }) => to === fingerprint(pair.publicKey))
    if (!mine) continue
    const opened = parse(open(sodium, mine, pair))
    if (!canonicalBytes(opened.context).equals(canonicalBytes(place))) throw new SealError('wrong_place')
    return opened
  }
  throw new SealError('not_for_you')
}

function open(sodium: typeof Sodium, { box }: Box, { publicKey, privateKey }: KeyPair): Uint8Array {
  try {
    const [ours, secret] = [publicKey, privateKey].map((text) => Buffer.from(text, 'base64url'))
    return sodium.crypto_box_seal_open(Buffer.from(box, 'base64url'), ours ?? empty, secret ?? empty)
  } catch {
    throw new SealError('damaged')
  }
}

const empty = new Uint8Array()

function parse(bytes: Uint8Array): Capsule {
  try {
    return capsule.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}

/** Opens content key and context with one's own pair and seals them to one worker for one claim. What they open stays shut. */
export function resealBox(
  sodium: typeof Sodium,
  from: { readonly boxes: readonly Box[]; readonly pairs: readonly KeyPair[]; readonly place: Context },
  to: { readonly sealingKey: string; readonly bound: Bound },
): Box {
  const { key, context } = openBox(sodium, from)
  return sealBox(sodium, to.sealingKey, { key, context, bound: to.bound })
}
