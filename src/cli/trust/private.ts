// The private end of a confidential job: its result, its error text and the paths of its artifacts, as its worker attested them.
import { hash } from 'node:crypto'
import { z } from 'zod'
import type { JobView } from '../../protocol/consumer.ts'
import type { ClaimId, JobId } from '../../protocol/id.ts'
import { sealedInline } from '../../protocol/sealed.ts'
import { artifactReport } from '../../protocol/word.ts'
import { openOwn } from '../../seal/open/envelope.ts'
import { SealError } from '../../seal/refusal.ts'
import { callFailure } from '../failure.ts'
import type { Session } from '../session.ts'
import { attestedExecution } from './attested.ts'
import { type Opening, sealFailure } from './opening.ts'

const privateEnd = z.object({
  message: z.string().optional(),
  /** JSON text, as the job wrote it. */
  result: z.string().optional(),
  artifacts: z.array(artifactReport).optional(),
})
export type PrivateEnd = z.infer<typeof privateEnd> & { readonly claim: string }

/** Undefined when the job said nothing of the kind. A sealed box has no sender, so only what the worker attested is believed. */
export async function openPrivate(session: Session, job: JobView, opening: Opening): Promise<PrivateEnd | undefined> {
  if (!job.has_result && !job.attested) return undefined
  try {
    const { facts } = await attestedExecution(session, { id: job.id, opening })
    // Not what pond says decides whether there is one.
    if (facts.result === undefined && !job.has_result) return undefined
    const answer = await session.client.call('getResult', { params: { id: job.id } })
    if (!answer.ok) throw callFailure(`get the result of ${job.id}`, answer.error)
    const bytes = answer.reply instanceof Uint8Array ? answer.reply : new Uint8Array()
    if (facts.result !== hash('sha256', bytes, 'hex')) throw new SealError('bad_signature')
    const place = { kind: 'private', job: job.id as JobId, claim: facts.claim as ClaimId, part: 'end' } as const
    const sealed = parse(sealedInline.parse, bytes)
    const { identity, named, sodium } = opening
    const opened = await openOwn(sodium, sealed, { pairs: [identity.sealing], place, named })
    await opening.settle()
    return { ...parse(privateEnd.parse, opened), claim: facts.claim }
  } catch (error) {
    throw sealFailure(`could not open the result of ${job.id}`, error)
  }
}

function parse<T>(read: (value: unknown) => T, bytes: Uint8Array): T {
  try {
    return read(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}
