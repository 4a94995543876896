// The call key of a running swarm: agreed on behind its polls, and anew in good time. Without one its calls are signed with the binding key, as before the first.
import type { Client } from '../client/contract.ts'
import { limit } from '../protocol/limit.ts'
import { acceptCallKey, makeHalf } from '../seal/call-key.ts'
import { SealError } from '../seal/refusal.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Random } from '../system/random.ts'
import { isSameTerms, type LiveBinding } from './live-binding.ts'

export interface CallKeyParts {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly live: LiveBinding
  /** Swarm ends. */
  readonly signal: AbortSignal
}

/** The rest of a key's life in which the next one is agreed on. */
const EARLY_MS = limit.callKeyMs / 4
/** After a call that failed. */
const REST_MS = 60_000
/** Pond knows no such call, or answers what cannot be believed. */
const REFUSED_MS = 60 * 60 * 1000

/** The answer is told that pond was heard: then is the time to look whether a key is due. */
export function createCallKeeper({ client, clock, random, log, live, signal }: CallKeyParts): () => void {
  let agreeing = false
  let restUntil = Number.NEGATIVE_INFINITY

  async function agree(): Promise<number> {
    const terms = live.terms()
    const half = makeHalf(random)
    const answer = await client.call('agreeCallKey', { body: { half: half.shown }, signal })
    // A rotation came between: what was asked for is worth nothing, and the next is due at once.
    if (!isSameTerms(live.terms(), terms)) return 0
    if (!answer.ok) return answer.error.retry === 'later' ? REST_MS : REFUSED_MS
    try {
      live.useCallKey(acceptCallKey(half, answer.reply.signed, terms), terms)
      return 0
    } catch (error) {
      if (!(error instanceof SealError)) throw error
      log.warn('call_key_refused', { reason: error.reason })
      return REFUSED_MS
    }
  }

  return () => {
    const pondNow = clock.now() + client.skewMs()
    const isDue = (live.callKey()?.expiresAt ?? 0) - EARLY_MS <= pondNow
    if (!isDue || agreeing || clock.monotonic() < restUntil || signal.aborted) return
    agreeing = true
    agree()
      .catch((error: unknown) => {
        log.warn('call_key_failed', { error: String(error) })
        return REFUSED_MS
      })
      .then((restMs) => {
        agreeing = false
        restUntil = clock.monotonic() + restMs
      })
  }
}
