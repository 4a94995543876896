// Directives: what a binding must do, computed anew for each reply from stored facts, and so repeated until it is done.
import type { BindingId } from '../../src/protocol/id.ts'
import type { Directive } from '../../src/protocol/orch.ts'
import type { Core } from './core.ts'
import { drainDirectives } from './drain.ts'
import { wasForWords } from './intent.ts'
import type { LiveClaim } from './live.ts'
import { isOver, type Told } from './room.ts'

export const rotation: Directive = { type: 'rotate', note: 'new keys or a new token: POST /orch/rotate' }

/** Stop what was cancelled, drop what is not its own any more, drain where an operator asked for it. */
export function directivesFor(core: Core, bindingId: BindingId, told: Told): Directive[] {
  const directives = drainDirectives(core, told.body)
  for (const { claim_id, state } of told.body.have) {
    const claim = core.live.get(claim_id)
    const own = claim?.bindingId === bindingId
    if (state === 'ended' || isOver(core, told, claim_id)) continue
    if (!own || !claim) {
      const left = told.body.workers.some(({ worker_id }) => core.live.fateOf(worker_id, claim_id) === 'leave')
      if (!left) directives.push({ type: 'drop', claim_id })
    } else if (claim.cancelBy !== undefined) {
      directives.push(cancelOf(claim, claim.cancelBy))
    }
  }
  for (const claim of core.live.ofBinding(bindingId)) {
    if (wasForWords(claim, told.body) && claim.cancelBy !== undefined && !told.have.has(claim.id))
      directives.push(cancelOf(claim, claim.cancelBy))
  }
  return directives
}

function cancelOf({ id, jobId }: LiveClaim, note: string): Directive {
  return { type: 'cancel', claim_id: id, job_id: jobId, note }
}

/** Two of the same key say the same. */
export function keyOf({ type, claim_id, worker_id }: Pick<Directive, 'type' | 'claim_id' | 'worker_id'>): string {
  return `${type} ${claim_id ?? worker_id ?? ''}`
}
