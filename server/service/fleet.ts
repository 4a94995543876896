// The workers in memory: few rows that every poll looks at. It mirrors committed rows and is filled from them at the start.
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import type { WorkerRow } from '../store/row.ts'

export class Fleet {
  readonly #workers = new Map<WorkerId, WorkerRow>()
  readonly #gone = new Set<BindingId>()
  readonly #byBinding = new Map<BindingId, Set<WorkerId>>()

  set(row: WorkerRow): void {
    this.#workers.set(row.id, row)
    const mates = this.#byBinding.get(row.bindingId)
    if (mates) mates.add(row.id)
    else this.#byBinding.set(row.bindingId, new Set([row.id]))
  }

  /** These workers are gone for good: old claims still know their names, and no list has them. */
  leave(bindingId: BindingId): void {
    this.#gone.add(bindingId)
  }

  /** As if these workers had never been. */
  forget(bindingId: BindingId): void {
    for (const id of this.#byBinding.get(bindingId) ?? []) this.#workers.delete(id)
    this.#byBinding.delete(bindingId)
    this.#gone.delete(bindingId)
  }

  get(id: WorkerId): WorkerRow | undefined {
    return this.#workers.get(id)
  }

  idsOf(bindingId: BindingId): readonly WorkerId[] {
    return [...(this.#byBinding.get(bindingId) ?? [])]
  }

  ofBinding(bindingId: BindingId): readonly WorkerRow[] {
    return [...(this.#byBinding.get(bindingId) ?? [])].flatMap((id) => this.#workers.get(id) ?? [])
  }

  /** Without those that are gone. */
  listed(): readonly WorkerRow[] {
    return this.all().filter(({ bindingId }) => !this.#gone.has(bindingId))
  }

  all(): readonly WorkerRow[] {
    return [...this.#workers.values()]
  }
}
