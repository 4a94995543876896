// The law of a claim's lease: which word about a claim is heard, and what it means for the job. Pure.
//
// A granted claim must be confirmed, and is renewed by any accepted word. When its time is over it is lost, or first held if the job asks for that. What is
// lost can deliver no result any more, but its late final word is kept beside the job. Every end is final: a second word is a repeat, a conflict or stale.
import type { Outcome } from '../protocol/word.ts'
import { notPossible, type Refused, refused, type Table } from './table.ts'

export const leaseStates = ['granted', 'confirmed', 'held', 'ended', 'lost', 'returned', 'revoked'] as const
export type LeaseState = (typeof leaseStates)[number]

export interface Lease {
  readonly state: LeaseState
  /** How long a lapsed lease is held, in milliseconds; 0 for not at all. */
  readonly holdMs: number
  /** While held: when the hold is over. */
  readonly heldUntil?: number
  /** SHA-256 of the final word that was accepted, or kept. */
  readonly finalDigest?: string
}

export interface LeaseEvents {
  readonly confirm: object
  /** Any sign of life that names the claim. */
  readonly renew: object
  readonly decline: object
  readonly finish: { readonly digest: string }
  /** The time to confirm is over. */
  readonly unconfirmed: object
  /** A full lease of listening time went by without a word. */
  readonly lapse: object
  readonly holdOver: object
  readonly revoke: object
}
export type LeaseEvent = { readonly [E in keyof LeaseEvents]: { readonly type: E } & LeaseEvents[E] }[keyof LeaseEvents]

export interface LeaseStep {
  readonly lease: Lease
  /** What the job's law is asked next. */
  readonly job?: 'confirm' | 'giveBack' | 'finish' | 'lose'
  /** How the word is answered. */
  readonly outcome: Outcome
  /** The word is kept beside the job, which it does not change. */
  readonly kept?: true
}

type Answer = LeaseStep | Refused<'stale'>

const renew = {
  to: ['confirmed'] as const,
  says: 'any accepted word',
  step: (lease: Lease): LeaseStep => ({ lease, outcome: 'accepted' }),
}
const finish = {
  to: ['ended'] as const,
  says: 'the final word',
  step: (lease: Lease, event: { readonly digest: string }): LeaseStep => ({
    lease: { state: 'ended', holdMs: lease.holdMs, finalDigest: event.digest },
    job: 'finish',
    outcome: 'accepted',
  }),
}
const revoke = {
  to: ['revoked'] as const,
  says: 'its worker was shut out',
  step: (lease: Lease): LeaseStep => ({
    lease: { state: 'revoked', holdMs: lease.holdMs },
    job: 'lose',
    outcome: 'accepted',
  }),
}
const stale = { to: [], says: 'too late', step: () => refused('stale') }
const closed = { confirm: stale, renew: stale, decline: stale, finish: stale }

const lost = (lease: Lease): LeaseStep => ({
  lease: { state: 'lost', holdMs: lease.holdMs },
  job: 'lose',
  outcome: 'accepted',
})
const returned = (lease: Lease): LeaseStep => ({
  lease: { state: 'returned', holdMs: lease.holdMs },
  job: 'giveBack',
  outcome: 'accepted',
})
const wakened =
  (outcome: Outcome) =>
  (lease: Lease): LeaseStep => ({ lease: { state: 'confirmed', holdMs: lease.holdMs }, outcome })

export const leaseTable: Table<Lease, LeaseEvents, LeaseState, Answer> = {
  granted: {
    confirm: {
      to: ['confirmed'],
      says: 'the worker has it',
      step: (lease) => ({ lease: { ...lease, state: 'confirmed' }, job: 'confirm', outcome: 'accepted' }),
    },
    renew: { ...renew, to: ['granted'] },
    decline: { to: ['returned'], says: 'the worker will not run it', step: returned },
    finish,
    unconfirmed: { to: ['returned'], says: 'the time to confirm is over', step: returned },
    lapse: { to: ['lost'], says: 'a full lease without a word', step: lost },
    revoke,
  },
  confirmed: {
    confirm: { to: ['confirmed'], says: 'said before', step: (lease) => ({ lease, outcome: 'idempotent' }) },
    renew,
    finish,
    lapse: { to: ['held', 'lost'], says: 'a full lease without a word; held if the job asks for it', step: lapse },
    revoke,
  },
  held: {
    confirm: { to: ['confirmed'], says: 'it is back', step: wakened('idempotent') },
    renew: { to: ['confirmed'], says: 'it is back', step: wakened('accepted') },
    finish,
    holdOver: { to: ['lost'], says: 'hold_ms is over', step: lost },
    revoke,
  },
  ended: {
    ...closed,
    finish: {
      to: ['ended'],
      says: 'the same word again is idempotent, another one a conflict',
      step: (lease, event) => ({ lease, outcome: event.digest === lease.finalDigest ? 'idempotent' : 'conflict' }),
    },
  },
  lost: {
    ...closed,
    finish: { to: ['lost'], says: 'too late for the job; the first such word is kept beside it', step: keep },
  },
  returned: closed,
  revoked: closed,
}

/** Applies one event; an absent cell refuses with `not_possible`. */
export function stepLease(lease: Lease, event: LeaseEvent, now: number): Answer {
  const cell = leaseTable[lease.state][event.type]
  if (!cell) return notPossible
  return (cell.step as (lease: Lease, event: LeaseEvent, now: number) => Answer)(lease, event, now)
}

/** A live lease is the one that fences the job. */
export function isLive(state: LeaseState): boolean {
  return state === 'granted' || state === 'confirmed' || state === 'held'
}

function lapse(lease: Lease, _: object, now: number): LeaseStep {
  if (lease.holdMs === 0) return lost(lease)
  return { lease: { ...lease, state: 'held', heldUntil: now + lease.holdMs }, outcome: 'accepted' }
}

function keep(lease: Lease, event: LeaseEvents['finish']): LeaseStep {
  const first = lease.finalDigest === undefined
  const same = first || lease.finalDigest === event.digest
  return {
    lease: first ? { ...lease, finalDigest: event.digest } : lease,
    outcome: 'stale',
    ...(same ? { kept: true } : {}),
  }
}
