// The workers in memory: few rows that every poll looks at. It mirrors committed rows and is filled from them at the start.
import type { BindingId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { WorkerRow } from '../store/contract.ts'

export class Fleet {
  readonly #workers = new Map<WorkerId, WorkerRow>()

  set(row: WorkerRow): void {
    this.#workers.set(row.id, row)
  }

  get(id: WorkerId): WorkerRow | undefined {
    return this.#workers.get(id)
  }

  ofBinding(bindingId: BindingId): readonly WorkerRow[] {
    return [...this.#workers.values()].filter((row) => row.bindingId === bindingId)
  }

  ofProject(projectId: ProjectId): readonly WorkerRow[] {
    return [...this.#workers.values()].filter((row) => row.projectId === projectId)
  }

  all(): readonly WorkerRow[] {
    return [...this.#workers.values()]
  }
}
