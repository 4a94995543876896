// A client whose calls outlast their proof: what is refused because the token ran out, as it does in a long sleep, or because pond forgot the call key, as it
// does in a restart, is said again with the next one.
import type { Answer, Call, CallError, Client } from '../client/contract.ts'
import type { RouteName } from '../protocol/route.ts'
import { type Cancel, type Clock, sleep } from '../system/clock.ts'

export interface LastingParts {
  readonly clock: Clock
  /** Names the token and the key that calls go with now. */
  readonly proof: () => string
  readonly mend: (proof: string) => Promise<Mended>
}

/** `replaced`: say it again. `refused`: nothing helps. `later`: pond is not reached, or the disk takes nothing now. */
export type Mended = 'replaced' | 'refused' | 'later'

/** A call with a deadline of its own waits no longer than that for a new token. */
const MEND_MS = 30_000
/** A call with a deadline of its own is said again only this soon. */
const AGAIN_MS = 5000
/** Of one call: token and call key may both be over, as behind a long sleep. */
const MENDS_MOST = 3
/** Before one that persists asks again: a disk without room does not mend at once. */
const REST_MS = 5000

/** `client` also makes the call that replaces the token, and so must not be what this answers. */
export function createLastingClient(client: Client, { clock, proof, mend }: LastingParts): Client {
  async function outlast<N extends RouteName>(once: () => Promise<Answer<N>>, call: Call<N>): Promise<Answer<N>> {
    const calledAt = clock.monotonic()
    const spentMs = () => clock.monotonic() - calledAt
    for (let mends = 0; ; mends++) {
      const before = proof()
      const answer = await once()
      if (answer.ok || answer.error.code !== 'unauthenticated' || call.signal?.aborted) return answer
      if (mends === MENDS_MOST) return answer
      const mended = await mendWithin(before, (call.deadlineMs ?? spentMs() + MEND_MS) - spentMs())
      if (mended === 'refused') return answer
      // Its caller counts on the deadline: what comes after that is another call.
      const isLate = call.deadlineMs !== undefined && spentMs() > AGAIN_MS
      if (mended === 'later' || isLate) return { ok: false, error: notYet }
    }
  }

  async function mendWithin(before: string, ms: number): Promise<Mended> {
    let cancel: Cancel = () => {}
    const late = new Promise<Mended>((resolve) => {
      cancel = clock.after(Math.max(0, ms), () => resolve('later'))
    })
    return await Promise.race([mend(before), late]).finally(cancel)
  }

  return {
    ...client,
    call: (name, call = {}) => outlast(() => client.call(name, call), call),
    async persist(name, call = {}, onRetry = () => {}) {
      for (;;) {
        const answer = await outlast(() => client.persist(name, call, onRetry), call)
        if (answer.ok || answer.error.retry !== 'later' || call.signal?.aborted) return answer
        onRetry(answer.error, REST_MS)
        await sleep(clock, REST_MS, call.signal)
      }
    },
  }
}

const notYet: CallError = {
  code: 'unreachable',
  message: 'the token of this machine ran out, and its renewal is on its way',
  details: {},
  help: 'Nothing is lost meanwhile. If it lasts, look whether pond runs and whether the disk of this machine has room.',
  retry: 'later',
}
