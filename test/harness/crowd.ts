// A crowd of swarms' loops that speak (polls, snapshots, and what each has to say without giving up) before a pond that only counts: cheap enough for days of a thousand of them.
import { defaultSettings } from '../../server/service/parts.ts'
import { returnMsOf } from '../../server/service/session.ts'
import type { Client } from '../../src/client/contract.ts'
import { createDialect } from '../../src/orchestrator/dialect.ts'
import { createPoll, type PollFacts } from '../../src/orchestrator/poll.ts'
import { createSnapshot } from '../../src/orchestrator/snapshot.ts'
import type { ClaimId } from '../../src/protocol/id.ts'
import { limit, retryWait } from '../../src/protocol/limit.ts'
import type { PollBody, PollReply } from '../../src/protocol/orch.ts'
import { PROTOCOL } from '../../src/protocol/version.ts'
import { type Cancel, type Clock, sleep } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { jitter, type Random } from '../../src/system/random.ts'

const SECOND = 1000
const unreachable = {
  code: 'unreachable',
  message: 'x',
  details: {},
  help: '',
  retry: 'later',
  loss: 'unsent',
} as const

interface Timer {
  readonly due: number
  readonly run: () => void
}

/** Timers in buckets of one tick. What a tick fires settles before the next: all that it sets off is in memory, so one turn of the loop is enough. */
class CrowdClock implements Clock {
  readonly #buckets = new Map<number, Timer[]>()
  readonly #tickMs: number
  #now = 0
  #skippedMs = 0

  constructor(tickMs: number) {
    this.#tickMs = tickMs
  }

  now = () => this.#now + this.#skippedMs
  monotonic = this.now

  /** Time goes by, and every timer with it. */
  leap(ms: number): void {
    this.#skippedMs += ms
  }

  after(delayMs: number, run: () => void): Cancel {
    const due = this.#now + Math.max(delayMs, 0)
    const tick = Math.max(Math.ceil(due / this.#tickMs), Math.floor(this.#now / this.#tickMs) + 1)
    const timer = { due, run }
    const bucket = this.#buckets.get(tick)
    if (bucket) bucket.push(timer)
    else this.#buckets.set(tick, [timer])
    return () => {
      const at = this.#buckets.get(tick)?.indexOf(timer) ?? -1
      if (at >= 0) this.#buckets.get(tick)?.splice(at, 1)
    }
  }

  async advance(ms: number): Promise<void> {
    for (const end = this.#now + ms; this.#now < end; ) {
      this.#now += this.#tickMs
      const tick = Math.round(this.#now / this.#tickMs)
      const bucket = this.#buckets.get(tick)
      this.#buckets.delete(tick)
      for (const { run } of bucket?.sort((one, other) => one.due - other.due) ?? []) run()
      if (bucket) await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** What pond holds of one poll. */
interface Parked {
  readonly answer: (directives: PollReply['directives']) => void
  readonly hangUp: () => void
}

/** Counts what comes, and answers polls as pond does: a session that this life of pond has not answered yet after half a second. */
function createCountingPond(clock: Clock, random: Random, swarms: number) {
  const returnMs = returnMsOf({ settings: defaultSettings }, swarms)
  const parked = new Set<Parked>()
  const heard = new Set<string>()
  const perSecond: number[] = []
  let away = false

  function poll({ session, wait_ms, have }: PollBody): Promise<unknown> {
    const mostMs = have.length > 0 ? defaultSettings.pollHoldBusyMs : defaultSettings.pollHoldMs
    const holdMs = Math.min(wait_ms, heard.has(session) ? mostMs : 500)
    const limits = { chunk_bytes: 1, poll_hold_ms: limit.pollHoldMs, words_per_call: 1, return_ms: returnMs }
    return new Promise((resolve) => {
      const over = (answer: unknown) => {
        cancel()
        parked.delete(held)
        resolve(answer)
      }
      const held: Parked = {
        answer: (directives) => {
          heard.add(session)
          over({ ok: true, status: 200, headers: {}, reply: { protocol: PROTOCOL, intents: [], directives, limits } })
        },
        hangUp: () => over({ ok: false, error: { ...unreachable, loss: 'cut' } }),
      }
      const cancel = clock.after(holdMs, () => held.answer([]))
      parked.add(held)
    })
  }

  return {
    perSecond,
    async call(name: string, { body }: { readonly body?: unknown } = {}): Promise<unknown> {
      if (away) return { ok: false, error: unreachable }
      const second = Math.floor(clock.now() / SECOND)
      perSecond[second] = (perSecond[second] ?? 0) + 1
      return name === 'poll' ? await poll(body as PollBody) : { ok: true, status: 200, headers: {}, reply: {} }
    },
    /** In order: every poll is answered with a time to come back. Else the connections break. */
    leave(inOrder: boolean): void {
      away = true
      for (const held of [...parked]) {
        const wait_ms = Math.round(random.number() * returnMs)
        if (inOrder) held.answer([{ type: 'slow_down', wait_ms }])
        else held.hangUp()
      }
      heard.clear()
    },
    comeBack(): void {
      away = false
    },
  }
}

const idle: PollFacts['have'] = []
const busy: PollFacts['have'] = [{ claim_id: `clm_${'0'.repeat(26)}` as ClaimId, state: 'running' }]

/** `isBusy`: each holds a claim. */
export function createCrowd(size: number, random: Random, { isBusy = false } = {}) {
  const clock = new CrowdClock(100)
  const pond = createCountingPond(clock, random, size)
  const endings: AbortController[] = []

  async function say(): Promise<void> {
    for (let tries = 0; ; tries++) {
      if (((await pond.call('sendWords')) as { readonly ok: boolean }).ok) return
      await sleep(clock, jitter(random, tries, retryWait))
    }
  }

  function begin(index: number): void {
    const client = { call: pond.call, skewMs: () => 0 } as unknown as Client
    const facts = () => ({ workers: [], have: isBusy ? busy : idle, hold: true, refill: false })
    const loop = { client, clock, random, log: silentLog, session: `session-${index}` }
    const polls = createPoll({ ...loop, dialect: createDialect(), facts, take: async () => {}, renew: () => {} })
    const snapshots = createSnapshot({ ...loop, look: async () => [], alone: (run) => run() })
    const ending = new AbortController()
    endings.push(ending)
    void polls.run(ending.signal)
    void snapshots.run(ending.signal)
  }

  return {
    /** All loops begin within `overMs`. */
    async start(overMs: number): Promise<void> {
      for (let index = 0; index < size; index++) clock.after((index * overMs) / size, () => begin(index))
      await clock.advance(overMs)
    },
    advance: (ms: number) => clock.advance(ms),
    /** Nothing happens in this time that has not happened before it: whoever waits goes on waiting behind it. */
    leap: (ms: number) => clock.leap(ms),
    leave: pond.leave,
    comeBack: pond.comeBack,
    /** Each has one call to make, and does not give up. */
    oweAll: () => void Array.from({ length: size }, say),
    /** Requests in each second from `fromMs` on. */
    rates: (fromMs: number) => Array.from(pond.perSecond, (many = 0) => many).slice(Math.floor(fromMs / SECOND)),
    now: () => clock.now(),
    close(): void {
      for (const ending of endings) ending.abort()
    },
  }
}
