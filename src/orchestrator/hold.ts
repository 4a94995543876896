// How long a poll may be held: what stands between (a proxy, a NAT) may cut or forget a line that is quiet for less than pond holds it. Pure.
import { limit } from '../protocol/limit.ts'

export interface Hold {
  /** The longest that is asked for now, in whole milliseconds as the wire has them: a poll must be able to live exactly so long. */
  readonly mostMs: number
  /** How old a poll was when something last cut it, until one lived longer. */
  readonly cutMs?: number
  /** Polls in a row that were held to their end. */
  readonly whole: number
  /** Polls in a row that were answered by nothing, and the longest hold before them. */
  readonly silence?: { readonly polls: number; readonly beforeMs: number }
}

/** How a poll ended that was sent to be held `waitMs`. */
export type HoldEnd =
  | { readonly type: 'whole'; readonly waitMs: number }
  /** Answered before its hold was over, as most are. */
  | { readonly type: 'early' }
  | { readonly type: 'cut'; readonly ageMs: number }
  | { readonly type: 'silent'; readonly waitMs: number }

/** What is cut earlier than this is no matter of the hold, and shorter polls would be a load of their own. */
export const HOLD_LEAST_MS = 5000
/** Below the age at which it was cut: timers of proxies are not exact. */
const BELOW_CUT = 0.8
/** Two cuts are of the same kind when their ages differ by less than this part, or by a second. */
const SAME_PART = 0.1
const SAME_MS = 1000
const WHOLE_BEFORE_LONGER = 10
const LONGER = 1.25
/** A NAT that forgot answers a shorter poll. When two halvings bring nothing, pond itself is silent, and shorter polls would only be a storm at its return. */
const HALVINGS_MOST = 2

export const wholeHold: Hold = { mostMs: limit.pollHoldMs, whole: 0 }

export function adaptHold(hold: Hold, end: HoldEnd): Hold {
  switch (end.type) {
    case 'early':
      return answered(hold)
    case 'whole':
      return longer(answered(hold), end.waitMs)
    case 'cut':
      return belowCut(hold, end.ageMs)
    case 'silent':
      return halved(hold, end.waitMs)
    default:
      return end satisfies never
  }
}

const answered = ({ silence: _, ...hold }: Hold): Hold => hold

/** Polls that were asked to be shorter anyway tell nothing of the longest. */
function longer(hold: Hold, waitMs: number): Hold {
  if (waitMs < hold.mostMs) return hold
  const { cutMs, ...rest } = hold
  const kept = { ...rest, ...(cutMs !== undefined && cutMs > waitMs && { cutMs }) }
  if (hold.whole + 1 < WHOLE_BEFORE_LONGER) return { ...kept, whole: hold.whole + 1 }
  return { ...kept, whole: 0, mostMs: Math.min(limit.pollHoldMs, Math.floor(hold.mostMs * LONGER)) }
}

/** The first cut may be anything: a restart, a link that went down. The second of the same age is a rule. */
function belowCut(hold: Hold, ageMs: number): Hold {
  if (ageMs < HOLD_LEAST_MS) return hold
  const { cutMs = Number.NEGATIVE_INFINITY } = hold
  const isSame = Math.abs(ageMs - cutMs) <= Math.max(SAME_MS, SAME_PART * ageMs)
  const mostMs = isSame ? Math.max(HOLD_LEAST_MS, Math.floor(BELOW_CUT * Math.min(ageMs, cutMs))) : hold.mostMs
  return { ...hold, cutMs: ageMs, whole: 0, mostMs: Math.min(hold.mostMs, mostMs) }
}

function halved(hold: Hold, waitMs: number): Hold {
  const { polls, beforeMs } = hold.silence ?? { polls: 0, beforeMs: hold.mostMs }
  const silence = { polls: polls + 1, beforeMs }
  if (polls >= HALVINGS_MOST) return { ...hold, silence, mostMs: beforeMs }
  return { ...hold, silence, whole: 0, mostMs: Math.min(hold.mostMs, Math.max(HOLD_LEAST_MS, Math.floor(waitMs / 2))) }
}
