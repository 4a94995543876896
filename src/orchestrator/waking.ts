// What a swarm does when it wakes: connections, answers and rules of before the sleep are history. Jobs that run go on.
import type { Client } from '../client/contract.ts'
import { sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Wake } from '../system/wake.ts'
import type { SwarmParts } from './contract.ts'
import type { Gate } from './gate.ts'
import type { Poll } from './poll.ts'

/** The same parts, by which a sleep is noticed before a timer runs or an answer is used. */
export function lookingFirst(parts: SwarmParts, { clock, look }: Pick<Wake, 'clock' | 'look'>): SwarmParts {
  return { ...parts, clock, client: lookAtAnswers(parts.client, look) }
}

function lookAtAnswers(client: Client, look: () => void): Client {
  const first = async <T>(answer: Promise<T>): Promise<T> => {
    const found = await answer
    look()
    return found
  }
  return {
    call: (name, call) => first(client.call(name, call)),
    persist: (name, call, onRetry) => first(client.persist(name, call, onRetry)),
    open: (name, call) => first(client.open(name, call)),
    skewMs: () => client.skewMs(),
  }
}

export interface WakingParts {
  readonly wake: Wake
  readonly log: Log
  readonly gate: Pick<Gate, 'look'>
  readonly poll: Pick<Poll, 'forget' | 'woke'>
  /** Leaves all connections and makes new ones. */
  readonly renew: () => void
}

/** A disk that does not answer must not keep swarm from saying that it is back. */
const RULES_MS = 1000

/** Watches until the returned function is called. */
export function watchSleep({ wake, log, gate, poll, renew }: WakingParts): () => void {
  return wake.start(({ sleptMs }) => {
    log.info('woke', { slept_ms: Math.round(sleptMs) })
    poll.forget()
    renew()
    // What is offered is by the rules of now: the owner's hours may be over.
    void Promise.race([gate.look(), sleep(wake.clock, RULES_MS)]).then(poll.woke)
  })
}
