// Who had how much of which pool, for bindings that serve several projects. Kept in memory: after a restart all begin beside each other.
import type { BindingId, ProjectId } from '../../src/protocol/id.ts'
import { type Held, unitsOf } from '../../src/state/room.ts'
import { type Account, defaultWeight, openAccount, rejoin, settle, settled, standingAt } from '../../src/state/share.ts'

interface Pool {
  readonly accounts: Map<ProjectId, Account>
  /** Those that wanted something of it at the last look. */
  wanted: ReadonlySet<ProjectId>
  /** Where the least served of them stood. */
  floor: number
  turn: number
}

/** Of one look at a pool: where each project stands, the lowest first; what the look gives counts at once. */
export interface Turns {
  standing(projectId: ProjectId): number
  /** The turn at which it was last served, for those that stand level. */
  last(projectId: ProjectId): number
  give(projectId: ProjectId, held: Held): void
}

export class Shares {
  readonly #pools = new Map<BindingId, Pool>()
  /** Of projects that have another than the usual one. */
  readonly #weights = new Map<ProjectId, number>()
  readonly #unitsOf: (bindingId: BindingId) => Map<ProjectId, number>

  /** `unitsOf`: what each project has of a binding's workers now. */
  constructor(unitsOf: (bindingId: BindingId) => Map<ProjectId, number>) {
    this.#unitsOf = unitsOf
  }

  setWeight(projectId: ProjectId, weight: number): void {
    if (weight === defaultWeight) this.#weights.delete(projectId)
    else this.#weights.set(projectId, weight)
  }

  weightOf(projectId: ProjectId): number {
    return this.#weights.get(projectId) ?? defaultWeight
  }

  /** Looks at a pool of which these projects want something now. */
  look(bindingId: BindingId, wanted: ReadonlySet<ProjectId>): Turns {
    const pool = this.#poolOf(bindingId)
    this.#pools.set(bindingId, pool)
    return this.#turnsOf(bindingId, pool, wanted)
  }

  /** What such a look would see and give, of which nothing is remembered. */
  peek(bindingId: BindingId, wanted: ReadonlySet<ProjectId>): Turns {
    const pool = this.#poolOf(bindingId)
    return this.#turnsOf(bindingId, { ...pool, accounts: new Map(pool.accounts) }, wanted)
  }

  #poolOf(bindingId: BindingId): Pool {
    return this.#pools.get(bindingId) ?? { accounts: new Map(), wanted: new Set(), floor: 0, turn: 0 }
  }

  #turnsOf(bindingId: BindingId, pool: Pool, wanted: ReadonlySet<ProjectId>): Turns {
    this.#admit(pool, wanted)
    const units = this.#unitsOf(bindingId)
    const of = (projectId: ProjectId) => pool.accounts.get(projectId) ?? openAccount(0, 1, [])
    return {
      standing: (projectId) => standingAt(of(projectId), this.weightOf(projectId), units.get(projectId) ?? 0),
      last: (projectId) => of(projectId).turn,
      give: (projectId, held) => {
        pool.turn += 1
        pool.accounts.set(projectId, { ...of(projectId), turn: pool.turn })
        units.set(projectId, (units.get(projectId) ?? 0) + unitsOf(held))
      },
    }
  }

  /** An attempt ended that had its part of a pool for so long. */
  settle(
    claim: { readonly bindingId: BindingId; readonly projectId: ProjectId; readonly held: Held },
    ms: number,
  ): void {
    const accounts = this.#pools.get(claim.bindingId)?.accounts
    const account = accounts?.get(claim.projectId)
    if (account) accounts?.set(claim.projectId, settle(account, unitsOf(claim.held), ms))
  }

  forget(bindingId: BindingId): void {
    this.#pools.delete(bindingId)
  }

  /** Who comes, or comes back, begins where the least served of the others stands. */
  #admit(pool: Pool, wanted: ReadonlySet<ProjectId>): void {
    const { accounts } = pool
    const stayed = [...wanted].filter((id) => pool.wanted.has(id) && accounts.has(id))
    const stands = stayed.map((id) => settled(accounts.get(id) ?? openAccount(0, 1, []), this.weightOf(id)))
    if (stands.length > 0) pool.floor = Math.max(pool.floor, Math.min(...stands))
    const known = [...accounts.values()]
    for (const id of wanted) {
      const account = accounts.get(id)
      const weight = this.weightOf(id)
      if (!account) accounts.set(id, openAccount(pool.floor, weight, known))
      else if (!pool.wanted.has(id)) accounts.set(id, rejoin(account, pool.floor, weight))
    }
    pool.wanted = wanted
    // Of those that left, only who had more than the others is remembered.
    for (const [id, account] of accounts) {
      if (!wanted.has(id) && settled(account, this.weightOf(id)) <= pool.floor) accounts.delete(id)
    }
  }
}
