// What swarm says about its claims. Words that come up while a call is under way go together in the next one; each has its own outcome.
import type { CallError, Client } from '../client/contract.ts'
import { limit } from '../protocol/limit.ts'
import type { Intent } from '../protocol/orch.ts'
import type { Dsse } from '../protocol/sealed.ts'
import type { BatchWord, OutcomeReply } from '../protocol/word.ts'
import type { ClaimFacts } from './journal-entry.ts'

/** `unsaid`: swarm ends before pond answered; the next run says it. */
export type Said = OutcomeReply | { readonly outcome: 'unsaid' }

export interface Words {
  /** Says it until pond answers, through every outage. A final word is attested, with the claim's facts. Never rejects. */
  say(word: BatchWord, claim?: ClaimFacts): Promise<Said>
  /** The number of the latest call, from 1. */
  latestCall(): number
  /** No call below this number is under way. */
  oldestCall(): number
}

export interface WordsParts {
  readonly client: Client
  /** Aborts when swarm ends. */
  readonly signal: AbortSignal
  /** Whether slots that words free may be filled in the reply. */
  readonly refill: () => boolean
  readonly take: (intents: readonly Intent[]) => void
  /** Signs what these final words of one worker say. */
  readonly attest: (words: readonly FinalWord[]) => Dsse
  /** A reply was lost that may have brought some: the next poll brings them. */
  readonly missed: () => void
  /** How often this machine woke. */
  readonly wakes: () => number
}

/** A final word, and what is known of its claim. */
export interface FinalWord {
  readonly word: BatchWord
  readonly claim: ClaimFacts
}

interface Waiting {
  readonly word: BatchWord
  readonly claim: ClaimFacts | undefined
  readonly bytes: number
  readonly resolve: (said: Said) => void
}

/** Room below the limit of a body for what JSON puts around the words. */
const BATCH_BYTES = limit.bodyBytes - 256 * 1024

export function createWords({ client, signal, refill, take, missed, attest, wakes }: WordsParts): Words {
  let queue: Waiting[] = []
  let calling = false
  let began = 0
  let ended = 0

  async function callAll(): Promise<void> {
    calling = true
    // Words of one tick belong together: a promise turn lets the others of this tick come in.
    await undefined
    while (queue.length > 0) {
      const count = fitting(queue)
      const batch = queue.slice(0, count)
      queue = queue.slice(count)
      await callBatch(batch)
    }
    calling = false
  }

  async function callBatch(batch: readonly Waiting[]): Promise<void> {
    const body = { words: batch.map((it) => it.word), ...(refill() && { refill: true }), ...attested(batch) }
    let lost = false
    const wakesBefore = wakes()
    began++
    const answer = await client.persist('sendWords', { body, signal }, () => {
      lost = true
    })
    ended++
    // What an answer of before a sleep brings may be another's by now; the poll brings it again where it is not.
    const isHistory = wakes() !== wakesBefore
    if ((lost || isHistory) && body.refill) missed()
    if (answer.ok && answer.reply.outcomes.length === batch.length) {
      if (answer.reply.intents && !isHistory) take(answer.reply.intents)
      answer.reply.outcomes.forEach((outcome, index) => {
        batch[index]?.resolve(outcome)
      })
      return
    }
    const [only] = batch
    if (answer.ok || batch.length > 1) {
      // One word that pond cannot take refuses the whole call, so each is said alone and its neighbours are heard.
      for (const it of batch) it.resolve(await callAlone(it))
    } else only?.resolve(fromError(answer.error, signal))
  }

  function attested(batch: readonly Waiting[]): { readonly attestation?: Dsse } {
    const final = batch.flatMap(({ word, claim }) => (word.state === 'final' && claim ? [{ word, claim }] : []))
    return final.length > 0 ? { attestation: attest(final) } : {}
  }

  async function callAlone(it: Waiting): Promise<Said> {
    const { job_id: id, claim_token: claimToken, ...word } = it.word
    const body = { ...word, ...attested([it]) }
    const answer = await client.persist('sendWord', { params: { id }, claimToken, body, signal })
    return answer.ok ? answer.reply : fromError(answer.error, signal)
  }

  return {
    latestCall: () => began,
    oldestCall: () => ended + 1,
    say(word, claim) {
      return new Promise((resolve) => {
        queue.push({ word, claim, bytes: sizeOf(word), resolve })
        if (!calling) void callAll()
      })
    },
  }
}

function fromError(error: CallError, signal: AbortSignal): Said {
  if (signal.aborted && error.retry === 'later') return { outcome: 'unsaid' }
  const { code, message, details, help } = error
  const refusal = { code, message, details, help }
  switch (code) {
    case 'stale':
    case 'claim_ended':
      return { outcome: 'stale', error: refusal, ...(details.kept === true && { kept: true }) }
    case 'conflict':
      return { outcome: 'conflict', error: refusal }
    default:
      return { outcome: 'refused', error: refusal }
  }
}

/** How many words from the front go into one call; at least one. One worker signs what a call attests. */
function fitting(queue: readonly Waiting[]): number {
  let bytes = 0
  let count = 0
  let worker: string | undefined
  for (const it of queue) {
    bytes += it.bytes
    worker ??= it.claim?.worker_id
    const foreign = it.claim !== undefined && it.claim.worker_id !== worker
    if (count === limit.wordsPerCall || (count > 0 && (foreign || bytes > BATCH_BYTES))) break
    count++
  }
  return count
}

/** More than the word without its texts ever takes. */
const WORD_BYTES = 3072
/** What a stream or an artifact takes in it, and in what is attested of it. */
const FILE_BYTES = 512

/** An upper bound: JSON text inside JSON at most doubles, for its quotes and line ends. */
function sizeOf({ result = '', message = '', streams = {}, artifacts = [] }: BatchWord): number {
  const files = FILE_BYTES * (Object.keys(streams).length + artifacts.length)
  const paths = artifacts.reduce((sum, { path = '' }) => sum + 6 * Buffer.byteLength(path), 0)
  return WORD_BYTES + files + paths + 2 * Buffer.byteLength(result) + 6 * Buffer.byteLength(message)
}
