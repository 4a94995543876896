// Opens envelopes: for the worker what a grant of pond brings, for a consumer what was sealed to its identity.
import {
  type Bound,
  type Context,
  type Dsse,
  grant,
  payloadType,
  type Sealed,
  type SealedDetached,
  type SealedInline,
  sealedDetached,
  sealedInline,
} from '../../protocol/sealed.ts'
import { type Capsule, isSame, type Opening, openBox } from '../box.ts'
import { parseCanonical } from '../canonical.ts'
import { openDsse } from '../dsse.ts'
import { readSigned } from '../envelope.ts'
import type { KeyPair } from '../key.ts'
import { SealError } from '../refusal.ts'
import type { Sodium } from '../sodium.ts'
import { openPayload } from './frame.ts'

/** A content key, and the place it is for. */
export interface ContentKey {
  readonly key: Uint8Array
  readonly place: Context
}

/** What a worker expects of a grant; anything else in it is refused. */
export interface Expected {
  readonly sodium: typeof Sodium
  /** The worker's own, and older ones that open claims still need. */
  readonly pairs: readonly KeyPair[]
  /** Pond's Ed25519 key, as pinned. */
  readonly pondKey: string
  readonly bound: Bound
  /** The place without a signer. */
  readonly place: Context
  /** Who signed the job, if anyone did: only what the same key sealed opens for it. */
  readonly jobSigner?: string | undefined
}

/** The content key of a grant, and the sealed object it stands in. */
export function openGrant(expected: Expected, signed: Dsse): { readonly sealed: Sealed; readonly content: ContentKey } {
  const { sodium, pairs } = expected
  const granted = parseCanonical(grant.parse, openDsse(signed, payloadType.grant, expected.pondKey))
  const { bound } = expected
  if (!isSame(granted.bound, bound)) throw new SealError('wrong_place')
  if ('sealed' in granted) {
    // Pond's own box names the claim: one that was made for another claim, or for pond, is none of ours.
    const capsule = openBox(sodium, granted.sealed, { pairs, place: expected.place, bound })
    return { sealed: granted.sealed, content: contentOf(capsule) }
  }
  const { sealed, signer } = readSigned(granted.signed, parseSealed)
  if (signer !== expected.jobSigner) throw new SealError('bad_signature')
  const place = { ...expected.place, signer } as Context
  return { sealed, content: contentOf(openBox(sodium, sealed, { pairs, place })) }
}

const contentOf = ({ key, context }: Capsule): ContentKey => ({ key: Buffer.from(key, 'base64url'), place: context })

function parseSealed(value: unknown): SealedInline | SealedDetached {
  const inline = sealedInline.safeParse(value)
  return inline.success ? inline.data : sealedDetached.parse(value)
}

/** The payload of a sealed object that carries its frames. */
export async function openInline(sodium: typeof Sodium, sealed: Sealed, content: ContentKey): Promise<Buffer> {
  if (!('frames' in sealed)) throw new SealError('damaged')
  const parts: Buffer[] = []
  for await (const part of openPayload(sodium, content, [Buffer.from(sealed.frames, 'base64')])) parts.push(part)
  return Buffer.concat(parts)
}

/** Opens what was sealed to one's own identity. */
export async function openOwn(
  sodium: typeof Sodium,
  sealed: SealedInline,
  {
    named,
    ...opening
  }: Opening & {
    /** Whether this fingerprint is of a recipient that the consumer named. */
    readonly named?: (fingerprint: string) => boolean
  },
): Promise<Buffer> {
  if (named && !sealed.boxes.every(({ to }) => named(to))) throw new SealError('unnamed_recipient')
  return await openInline(sodium, sealed, contentOf(openBox(sodium, sealed, opening)))
}
