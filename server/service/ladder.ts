// Ladders: whose jobs the workers of a binding take. Its own project's come first, then its friends', then, where its owner lets it, everybody's.
import type { BindingId, ProjectId } from '../../src/protocol/id.ts'
import type { BindingRow, LadderRow, WorkerRow } from '../store/row.ts'
import type { Core } from './core.ts'

export interface Ladder {
  readonly own: ProjectId
  readonly friends: ReadonlySet<ProjectId>
  readonly isPublic: boolean
}

/** Of a binding that serves its own project alone. */
export const ownLadder = (own: ProjectId): Ladder => ({ own, friends: nobody, isPublic: false })

const nobody: ReadonlySet<ProjectId> = new Set()

/** Lower comes first; undefined: its jobs are not for these workers. */
export function rungOf({ own, friends, isPublic }: Ladder, projectId: ProjectId): number | undefined {
  if (projectId === own) return 0
  if (friends.has(projectId)) return 1
  return isPublic ? 2 : undefined
}

export const isShared = ({ friends, isPublic }: Ladder) => isPublic || friends.size > 0

/** Mirrors of committed rows; most bindings have none. */
export class Ladders {
  readonly #ladders = new Map<BindingId, Ladder>()
  readonly #own = new Map<ProjectId, Ladder>()

  set({ id, projectId, ladder, state }: Pick<BindingRow, 'id' | 'projectId' | 'ladder' | 'state'>): void {
    if (ladder && state === 'active') this.#ladders.set(id, ladderOf(projectId, ladder))
    else this.#ladders.delete(id)
  }

  get(id: BindingId): Ladder | undefined {
    return this.#ladders.get(id)
  }

  of({ bindingId, projectId }: { readonly bindingId: BindingId; readonly projectId: ProjectId }): Ladder {
    const ladder = this.#ladders.get(bindingId) ?? this.#own.get(projectId)
    if (ladder) return ladder
    const own = ownLadder(projectId)
    this.#own.set(projectId, own)
    return own
  }
}

const ladderOf = (own: ProjectId, { friends, public: isPublic }: LadderRow): Ladder => ({
  own,
  friends: new Set(friends),
  isPublic,
})

/** The workers that take the jobs of a project, without those that are gone. */
export function workersFor({ fleet, ladders }: Pick<Core, 'fleet' | 'ladders'>, projectId: ProjectId): WorkerRow[] {
  return fleet.listed().filter((worker) => rungOf(ladders.of(worker), projectId) !== undefined)
}
