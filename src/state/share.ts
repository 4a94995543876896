// Fair share: whose turn it is among projects that want the same machines. What each used counts, by its weight; what it did not ask for is not saved up. Pure.

/** What one project had of one pool. */
export interface Account {
  /** Machine time of attempts that ended, in milliseconds of one unit, since the pool is shared. */
  readonly usedMs: number
  /** How long its attempts take, by those that ended lately. */
  readonly meanMs: number
  /** The turn at which it was last served. */
  readonly turn: number
}

/** Of a project that nothing is known of. */
const FIRST_MEAN_MS = 1000
/** How much the newest attempt counts. */
const NEWEST_PART = 0.25

export const defaultWeight = 100

/** An account for a project that comes to a pool where the others stand at `floor`. */
export function openAccount(floor: number, weight: number, known: readonly Account[]): Account {
  const sum = known.reduce((total, { meanMs }) => total + meanMs, 0)
  return { usedMs: floor * weight, meanMs: known.length > 0 ? sum / known.length : FIRST_MEAN_MS, turn: 0 }
}

/** Who asked for nothing meanwhile begins beside the others: neither before them nor, where it used more than they, with less to pay. */
export function rejoin(account: Account, floor: number, weight: number): Account {
  return { ...account, usedMs: Math.max(account.usedMs, floor * weight) }
}

/** Where a project stands without what it runs now: the others' floor. */
export const settled = ({ usedMs }: Account, weight: number) => usedMs / weight

/** Where a project stands with `units` under way, each as long as its attempts are: the lowest is served next. */
export const standingAt = ({ usedMs, meanMs }: Account, weight: number, units: number) =>
  (usedMs + units * meanMs) / weight

/** An attempt ended that had `units` of the pool for so long. */
export function settle(account: Account, units: number, ms: number): Account {
  return {
    ...account,
    usedMs: account.usedMs + units * ms,
    meanMs: Math.max(1, account.meanMs + NEWEST_PART * (ms - account.meanMs)),
  }
}
