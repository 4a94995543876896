// Claims that are over, remembered as long as a reply that is still on its way may bring their intents once more.

/** The calls that may bring intents, each kind counted from 1. */
export interface Calls {
  readonly poll: number
  readonly words: number
}

/** So many are worth a poll whose reply lets them go: thousands come and go with words, under one held poll. */
const MOST = 1000

export class Over {
  readonly #claims = new Map<string, Calls>()

  /** True when they have become many. */
  add(claimId: string, latest: Calls): boolean {
    this.#claims.set(claimId, latest)
    return this.#claims.size >= MOST
  }

  has(claimId: string): boolean {
    return this.#claims.has(claimId)
  }

  /** `oldest`: no call below these is under way. */
  forget(oldest: Calls): void {
    for (const [claimId, latest] of this.#claims) {
      if (latest.poll < oldest.poll && latest.words < oldest.words) this.#claims.delete(claimId)
    }
  }
}
