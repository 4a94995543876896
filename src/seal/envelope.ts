// Envelopes: a payload sealed under a fresh content key, and that key in one box for each recipient. Sealing, signing and granting; opening is elsewhere.
import { createHash } from 'node:crypto'
import {
  type Bound,
  type Context,
  type Custody,
  type CustodyDetached,
  type Dsse,
  type Grant,
  payloadType,
  type Sealed,
  type SealedDetached,
  type SealedInline,
  sealedDetached,
  sealedInline,
} from '../protocol/sealed.ts'
import type { Random } from '../system/random.ts'
import { type Opening, openBox, resealBox, sealBoxes } from './box.ts'
import { canonicalBytes, parseCanonical } from './canonical.ts'
import { openDsse, signDsse } from './dsse.ts'
import { createFrameSealer, sealPayload } from './frame.ts'
import type { KeyPair } from './key.ts'
import { SealError } from './refusal.ts'
import type { Signer } from './signature.ts'
import type { Sodium } from './sodium.ts'

/** To whom and for which place something is sealed. */
export interface SealWish {
  readonly sodium: typeof Sodium
  readonly random: Random
  readonly context: Context
  /** X25519 public keys in unpadded base64url. */
  readonly recipients: readonly string[]
}

export async function sealInline(wish: SealWish, payload: Uint8Array): Promise<SealedInline> {
  const { parts, head } = begin(wish, [payload])
  const frames: Buffer[] = []
  for await (const part of parts) frames.push(part)
  return { ...head, frames: Buffer.concat(frames).toString('base64') }
}

/** Seals while it is read; `finish` tells digest and size of what was yielded, and throws before all of it was. `key` opens it, in unpadded base64url. */
export function sealDetached(
  wish: SealWish,
  source: AsyncIterable<Uint8Array>,
): { readonly frames: AsyncGenerator<Buffer>; readonly key: string; finish(): SealedDetached } {
  const { parts, head, key } = begin(wish, source)
  const hash = createHash('sha256')
  let size = 0
  let whole = false
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const part of parts) {
      hash.update(part)
      size += part.length
      yield part
    }
    whole = true
  }
  return {
    frames: counted(),
    key,
    finish() {
      if (!whole) throw new Error('not all of it is sealed')
      return { ...head, digest: hash.copy().digest('hex'), size }
    },
  }
}

function begin({ sodium, random, context, recipients }: SealWish, source: Parameters<typeof sealPayload>[1]) {
  const bytes = random.bytes(32)
  const key = bytes.toString('base64url')
  const boxes = sealBoxes(sodium, recipients, { key, context })
  const parts = sealPayload(createFrameSealer(sodium, bytes, context), source)
  return { parts, key, head: { format: 1, context, boxes } as const }
}

/** The same frames for others: `key` is what they were sealed with. */
export function sealAnew(
  { sodium, recipients }: Pick<SealWish, 'sodium' | 'recipients'>,
  sealed: SealedDetached,
  key: string,
): SealedDetached {
  return { ...sealed, boxes: sealBoxes(sodium, recipients, { key, context: sealed.context }) }
}

/** Client custody: signed by the consumer whose key the context names. */
export function signSealed(sealed: Sealed, signer: Signer): Dsse {
  return signDsse(payloadType.sealed, canonicalBytes(sealed), signer)
}

/** A sealed object as its consumer handed it in, its signature checked where its own context asks for one. */
export function readCustody(custody: Custody): { readonly sealed: SealedInline; readonly signer?: string } {
  if ('sealed' in custody) return { sealed: unsigned(custody.sealed) }
  return readSigned(custody.signed, sealedInline.parse)
}

export function readCustodyDetached(custody: CustodyDetached): {
  readonly sealed: SealedDetached
  readonly signer?: string
} {
  if ('sealed' in custody) return { sealed: unsigned(custody.sealed) }
  return readSigned(custody.signed, sealedDetached.parse)
}

/** What names a signer must come signed: the signature cannot be left off. */
function unsigned<T extends Sealed>(sealed: T): T {
  if ('signer' in sealed.context && sealed.context.signer !== undefined) throw new SealError('bad_signature')
  return sealed
}

export function readSigned<T extends Sealed>(
  signed: Dsse,
  parse: (value: unknown) => T,
): { readonly sealed: T; readonly signer: string } {
  const signer = signed.signatures[0]?.keyid
  if (signer === undefined) throw new SealError('bad_signature')
  const sealed = parseCanonical(parse, openDsse(signed, payloadType.sealed, signer))
  if (!('signer' in sealed.context) || sealed.context.signer !== signer) throw new SealError('bad_signature')
  return { sealed, signer }
}

/** Whether one of these pairs opens it for this place; a SealError says why not. What it holds stays shut. */
export function requireOpenable(sodium: typeof Sodium, sealed: Sealed, opening: Opening): void {
  openBox(sodium, sealed, opening)
}

export interface GrantWish {
  readonly sodium: typeof Sodium
  /** Whose boxes are opened. */
  readonly pairs: readonly KeyPair[]
  /** The place that the box must name. */
  readonly place: Context
  readonly sealingKey: string
  readonly bound: Bound
  readonly signer: Signer
}

/** Seals the content key anew to one worker for one claim, and signs the whole. */
export function grantSealed(wish: GrantWish, sealed: Sealed): Dsse {
  const { sodium, pairs, place, sealingKey, bound } = wish
  const box = resealBox(sodium, { sealed, pairs, place }, { sealingKey, bound })
  return signGrant(wish.signer, { bound, sealed: { ...sealed, boxes: [box] } })
}

/** Passes on what its consumer sealed to workers, as it was signed. */
export function grantSigned(signer: Signer, bound: Bound, signed: Dsse): Dsse {
  return signGrant(signer, { bound, signed })
}

function signGrant(signer: Signer, grant: Grant): Dsse {
  return signDsse(payloadType.grant, canonicalBytes(grant), signer)
}
