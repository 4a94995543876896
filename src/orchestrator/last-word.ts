// The end of a claim, the same after a run and after a restart: output first, then the final word until pond has judged it.
import type { BatchWord, OutcomeReply } from '../protocol/word.ts'
import type { Log } from '../system/log.ts'
import type { Journal } from './journal.ts'
import type { ClaimFacts, Ending } from './journal-entry.ts'
import type { Output, Reports } from './output.ts'
import type { Words } from './words.ts'

export interface LastWordParts {
  readonly words: Words
  readonly journal: Journal
  readonly log: Log
  readonly claim: ClaimFacts
  /** Absent when the process wrote nothing. */
  readonly output: Output | undefined
}

/** `accepted`, `refused`: nothing is owed any more. `kept`: too late for the job, beside which pond keeps it. `unsaid`: swarm ends first; the journal has what the next run needs. */
export type LastWordEnd = 'accepted' | 'kept' | 'refused' | 'unsaid'

/** Times that pond may miss bytes which it acknowledged before; then the streams are told as lost. */
const REWINDS_MOST = 5

export async function sayLastWord(parts: LastWordParts, ending: Ending): Promise<LastWordEnd> {
  const { journal, claim, output } = parts
  if (!output) return say(parts, toWord(claim, ending))
  await output.end()
  const spooled = await output.spooled()
  await journal.write({ step: 'ended', claim_id: claim.claim_id, ending, spooled })
  const streams = await output.deliver()
  return streams ? say(parts, toWord(claim, ending, streams)) : 'unsaid'
}

/** Says a final word that is already decided. */
export async function say(parts: LastWordParts, decided: BatchWord): Promise<LastWordEnd> {
  const { words, journal, log, claim, output } = parts
  let word = decided
  for (let rewinds = 0; ; rewinds++) {
    await journal.write({ step: 'final', claim_id: claim.claim_id, word })
    const said = await words.say(word, claim)
    if (said.outcome === 'unsaid') return 'unsaid'
    if (said.error?.code !== 'streams_incomplete' || !word.streams || rewinds > REWINDS_MOST) {
      return logOutcome(log, claim, said)
    }
    output?.rewind(committedIn(said))
    const streams = await output?.deliver()
    if (output && !streams) return 'unsaid'
    word = { ...word, streams: rewinds < REWINDS_MOST && streams ? streams : lost(word.streams) }
  }
}

function toWord(claim: ClaimFacts, ending: Ending, streams?: Reports): BatchWord {
  const { claim_id, job_id, claim_token } = claim
  const { artifacts, ...rest } = ending
  return {
    job_id,
    claim_id,
    claim_token,
    state: 'final',
    ...rest,
    ...(artifacts && { artifacts: [...artifacts] }),
    ...(streams && hasAny(streams) && { streams }),
  }
}

const hasAny = (streams: Reports) => Object.keys(streams).length > 0

function lost(streams: Reports): Reports {
  return Object.fromEntries(
    Object.entries(streams).flatMap(([name, it]) => (it ? [[name, { ...it, end: 'lost' as const }]] : [])),
  )
}

function committedIn({ error }: OutcomeReply): Readonly<Record<string, unknown>> {
  const streams = error?.details.streams
  return typeof streams === 'object' && streams !== null ? { ...streams } : {}
}

function logOutcome(log: Log, { claim_id, job_id, attempt }: ClaimFacts, said: OutcomeReply): LastWordEnd {
  const { outcome, kept, error } = said
  const end = outcome === 'accepted' || outcome === 'idempotent' ? 'accepted' : 'refused'
  if (end === 'refused' && kept) {
    const message = 'pond had given this attempt up; its result is kept beside the job, which it does not change'
    log.warn('orphan_kept', { claim_id, job_id, attempt, message, next: `pond adopt ${job_id} --attempt ${attempt}` })
    return 'kept'
  }
  log[end === 'accepted' ? 'info' : 'warn']('claim_done', { claim_id, job_id, outcome, code: error?.code })
  return end
}
