// The consumer's side of what is sealed in a simulated world: its secret on the way in, the output of its jobs on the way out.
import { sealedInline } from '../../src/protocol/sealed.ts'
import type { ArtifactReport } from '../../src/protocol/word.ts'
import { sealDetached, sealInline } from '../../src/seal/envelope.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { printKey } from '../../src/seal/key-text.ts'
import { openOwn } from '../../src/seal/open/envelope.ts'
import { createSegmentReader } from '../../src/seal/open/segment.ts'
import type { Random } from '../../src/system/random.ts'
import { sealingPair, sodium } from '../harness/seal.ts'
import { streamOf } from '../harness/tar-writer.ts'
import { pondKeys } from './pond-host.ts'
import { CREDENTIAL, SECRET_NAME } from './secret.ts'

const recipient = sealingPair('consumer')
/** As a job names it. */
export const recipientText = printKey('recipient', recipient.publicKey)

/** As a consumer hands it to pond. */
export async function sealSecret(random: Random, secret: string) {
  const context = { kind: 'credential', project: 'default', name: CREDENTIAL } as const
  const recipients = [pondKeys.sealing[0].publicKey]
  const values = Buffer.from(JSON.stringify({ env: { [SECRET_NAME]: secret } }))
  return { sealed: await sealInline({ sodium, random, recipients, context }, values) }
}

/** An archive as a consumer hands it in. */
export async function sealArchive(random: Random, archive: Buffer) {
  const context = { kind: 'bundle', project: 'default' } as const
  const recipients = [pondKeys.sealing[0].publicKey]
  const { frames, finish } = sealDetached({ sodium, random, recipients, context }, streamOf(archive))
  const bytes: Buffer[] = []
  for await (const frame of frames) bytes.push(frame)
  return { sealed: finish(), bytes: Buffer.concat(bytes) }
}

export interface SealedStream {
  readonly jobId: string
  readonly claimId: string
  readonly stream: string
  readonly jobDigest: string
  readonly stored: Buffer
}

/** What the consumer reads in a sealed stream, and whether the stream says that it ends there; undefined when it does not open. */
export function openStored(of: SealedStream): { readonly bytes: Buffer; readonly ended: boolean } | undefined {
  const reader = createSegmentReader({
    sodium,
    stream: { job: of.jobId, claim: of.claimId, stream: of.stream } as never,
    jobDigest: of.jobDigest,
    pairs: [recipient],
    trusts: () => true,
    named: (to) => to === fingerprint(recipient.publicKey),
  })
  try {
    const pieces = reader.push(of.stored)
    return { bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)), ended: reader.ended() }
  } catch {
    return undefined
  }
}

/** What the end of a sealed job tells its consumer, and nobody else. */
export async function openEnd(of: Pick<SealedStream, 'jobId' | 'claimId'>, stored: string): Promise<SealedEnd> {
  const place = { kind: 'private', job: of.jobId as never, claim: of.claimId as never, part: 'end' } as const
  const named = (to: string) => to === fingerprint(recipient.publicKey)
  const sealed = sealedInline.parse(JSON.parse(stored))
  return JSON.parse((await openOwn(sodium, sealed, { pairs: [recipient], place, named })).toString())
}

export interface SealedEnd {
  readonly result?: string
  readonly artifacts?: readonly ArtifactReport[]
}
