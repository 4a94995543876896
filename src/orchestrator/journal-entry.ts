// The lines of the journal as data, and what they add up to for a claim. No disk here.
import { z } from 'zod'
import { claimId, jobId, workerId } from '../protocol/id.ts'
import { artifactReport, type BatchWord, statesBody } from '../protocol/word.ts'

const word = statesBody.shape.words.element

const claimFacts = z.object({
  claim_id: claimId,
  job_id: jobId,
  claim_token: z.string(),
  worker_id: workerId,
  attempt: z.number(),
  epoch: z.number(),
  /** SHA-256 of the job's exact bytes. */
  job_digest: z.string(),
  /** Digest of its bundle. */
  bundle: z.string().optional(),
  /** X25519 keys that all it says is sealed to. */
  recipients: z.array(z.string()).readonly().optional(),
  /** The cap of stdout and of stderr, in bytes. */
  stream_bytes: z.number(),
  /** The cap of each artifact. */
  artifact_bytes: z.number(),
})
/** All that is needed to finish talking about a claim. */
export type ClaimFacts = z.infer<typeof claimFacts>

/** What outlives a process: the parts of a final word that do not depend on its streams. */
const ending = z.object({
  cause: word.shape.cause.unwrap(),
  rc: z.number().optional(),
  started_at: z.number().optional(),
  ended_at: z.number(),
  usage: word.shape.usage,
  result: z.string().optional(),
  message: z.string().optional(),
  artifacts: z.array(artifactReport).readonly().optional(),
})
export type Ending = z.infer<typeof ending>

/** What each spool of a claim holds, by stream. */
export type Spooled = Readonly<Record<string, SpooledStream>>

const spooledStream = z.object({
  /** Bytes in its spool. */
  kept: z.number(),
  /** Bytes that the process wrote and that are not. */
  left_out: z.number(),
  /** Of what was kept: after a power cut a file can have its length and not its bytes. */
  sha256: z.string().optional(),
  /** It may lack, or does lack, bytes that it should have kept. No later life can tell that from the file. */
  doubtful: z.boolean().optional(),
})
export type SpooledStream = Readonly<z.infer<typeof spooledStream>>

/** The executor's Trace. */
const trace = z.object({
  claimId: z.string(),
  jobId: z.string(),
  attempt: z.number(),
  pid: z.number(),
  startTime: z.string(),
  cgroups: z.array(z.string()).readonly(),
})

const ofClaim = { claim_id: claimId }

const entry = z.discriminatedUnion('step', [
  z.object({ step: z.literal('claim'), ...claimFacts.shape, boot: z.string().optional() }),
  z.object({ step: z.literal('started'), ...ofClaim, trace, at: z.number() }),
  z.object({
    step: z.literal('ended'),
    ...ofClaim,
    ending,
    spooled: z.record(z.string(), spooledStream).readonly(),
  }),
  z.object({ step: z.literal('final'), ...ofClaim, word: z.custom<BatchWord>((it) => word.safeParse(it).success) }),
  z.object({ step: z.literal('gone'), ...ofClaim }),
])
export type Entry = z.infer<typeof entry>
type Step<S extends Entry['step']> = Omit<Extract<Entry, { step: S }>, 'step' | 'claim_id'>

/** A claim of a former life, as far as its lines tell. */
export interface Left {
  readonly claim: ClaimFacts
  /** Of the machine when it was taken; absent or empty where that is not known. */
  readonly boot?: string
  readonly started?: Step<'started'>
  readonly ended?: Step<'ended'>
  readonly final?: BatchWord
}

/** Undefined for a line that broke off or is of another version. */
export function parseEntry(line: string): Entry | undefined {
  try {
    return entry.parse(JSON.parse(line))
  } catch {
    return undefined
  }
}

/** Claims that are not gone, in the order of their first lines. */
export function followAll(entries: readonly Entry[]): readonly Left[] {
  const left = new Map<string, Left>()
  for (const it of entries) {
    const next = follow(left.get(it.claim_id), it)
    if (next) left.set(it.claim_id, next)
    else left.delete(it.claim_id)
  }
  return [...left.values()]
}

function follow(before: Left | undefined, { step, ...more }: Entry): Left | undefined {
  switch (step) {
    case 'claim':
      return { claim: claimFacts.parse(more), ...('boot' in more && more.boot !== undefined && { boot: more.boot }) }
    case 'gone':
      return undefined
    case 'started':
    case 'ended':
      return before && { ...before, [step]: more }
    case 'final':
      return before && 'word' in more ? { ...before, final: more.word } : before
    default:
      return step satisfies never
  }
}
