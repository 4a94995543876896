// A client whose calls outlast their token: what is refused because the token ran out, as it does in a long sleep, is said again with the next one.
import type { Answer, Call, CallError, Client } from '../client/contract.ts'
import type { RouteName } from '../protocol/route.ts'
import { type Cancel, type Clock, sleep } from '../system/clock.ts'

export interface LastingParts {
  readonly clock: Clock
  readonly token: () => string
  readonly mend: (token: string) => Promise<Mended>
}

/** `replaced`: say it again. `refused`: nothing helps. `later`: pond is not reached, or the disk takes nothing now. */
export type Mended = 'replaced' | 'refused' | 'later'

/** A call with a deadline of its own waits no longer than that for a new token. */
const MEND_MS = 30_000
/** A call with a deadline of its own is said again only this soon. */
const AGAIN_MS = 5000
/** Before one that persists asks again: a disk without room does not mend at once. */
const REST_MS = 5000

/** `client` also makes the call that replaces the token, and so must not be what this answers. */
export function createLastingClient(client: Client, { clock, token, mend }: LastingParts): Client {
  async function outlast<N extends RouteName>(once: () => Promise<Answer<N>>, call: Call<N>): Promise<Answer<N>> {
    const before = token()
    const calledAt = clock.monotonic()
    const answer = await once()
    if (answer.ok || answer.error.code !== 'unauthenticated' || call.signal?.aborted) return answer
    let cancel: Cancel = () => {}
    const late = new Promise<Mended>((resolve) => {
      const spentMs = clock.monotonic() - calledAt
      cancel = clock.after(Math.max(0, (call.deadlineMs ?? spentMs + MEND_MS) - spentMs), () => resolve('later'))
    })
    const mended = await Promise.race([mend(before), late]).finally(cancel)
    if (mended === 'refused') return answer
    // Its caller counts on the deadline: what comes after that is another call.
    const isLate = call.deadlineMs !== undefined && clock.monotonic() - calledAt > AGAIN_MS
    return mended === 'replaced' && !isLate ? once() : { ok: false, error: notYet }
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
