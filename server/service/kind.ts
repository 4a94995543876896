// How many kinds of requirements wait in a project: jobs are of one kind when they need the same. Each look for a job goes through all that stand in the queue.
import { Refusal } from '../../src/protocol/error.ts'
import { limit } from '../../src/protocol/limit.ts'

/** By needs in canonical form, how many jobs wait, for a worker, for their time or for others, and one of each kind that submits under way bring. */
export type Kinds = Map<string, { jobs: number }>

export function countKind(kinds: Kinds, needs: string, jobs: number): void {
  const known = kinds.get(needs)
  if (!known) kinds.set(needs, { jobs })
  else if (known.jobs + jobs === 0) kinds.delete(needs)
  else known.jobs += jobs
}

/**
 * Those of a submit that do not wait yet; with too many it is refused. A job of a kind that waits costs no look more. What waits for others was counted as it
 * came, and what comes back for its next attempt is never refused: the next submit finds it counted. `asked`: by needs, where that stands in the body.
 */
export function freshKinds(kinds: Kinds, asked: ReadonlyMap<string, string>): readonly string[] {
  const fresh = [...asked.keys()].filter((needs) => !kinds.has(needs))
  const { requirementClasses: most } = limit
  const first = fresh[Math.max(0, most - kinds.size)]
  if (first === undefined) return fresh
  throw new Refusal('too_many_requests', `jobs of at most ${most} kinds of requirements wait in a project`, {
    field: `${asked.get(first) ?? ''}requires`,
    ...{ most, used: kinds.size },
  })
}
