// Workers: what they tell of themselves, and who may see it. A snapshot never pins a key.
import type { WorkerView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId } from '../../src/protocol/id.ts'
import type { SnapshotBody } from '../../src/protocol/orch.ts'
import { stepWorker } from '../../src/state/worker.ts'
import type { WorkerRow, WriteTx } from '../store/contract.ts'
import { recordAudit } from './audit.ts'
import { saveWorker } from './change.ts'
import type { Core } from './core.ts'
import type { Scope } from './job.ts'
import type { Polls } from './poll.ts'
import { viewWorker } from './view.ts'

/** Only the newest snapshot of a session counts; a repeat or a late one changes nothing. */
export class Snapshots {
  readonly #core: Core
  readonly #newest = new Map<BindingId, { session: string; seq: number }>()

  constructor(core: Core) {
    this.#core = core
  }

  async hear(bindingId: BindingId, body: SnapshotBody): Promise<Record<string, never>> {
    for (const [index, { worker_id }] of body.workers.entries()) {
      if (this.#core.fleet.get(worker_id)?.bindingId === bindingId) continue
      throw new Refusal('invalid_field', 'this binding has no such worker', { field: `workers.${index}.worker_id` })
    }
    const newest = this.#newest.get(bindingId)
    if (newest?.session === body.session && body.seq <= newest.seq) return {}
    const mine = { session: body.session, seq: body.seq }
    this.#newest.set(bindingId, mine)
    try {
      await this.#core.store.write(async (tx) => {
        for (const told of body.workers) await hearWorker(this.#core, tx, told)
      })
    } catch (error) {
      // It was not heard, so that it must count when it is sent again.
      if (this.#newest.get(bindingId) === mine) this.#newest.delete(bindingId)
      throw error
    }
    const projectId = body.workers[0] && this.#core.fleet.get(body.workers[0].worker_id)?.projectId
    if (projectId) this.#core.wake.send(projectId)
    return {}
  }
}

async function hearWorker(core: Core, tx: WriteTx, told: SnapshotBody['workers'][number]): Promise<void> {
  const row = await tx.getWorker(told.worker_id)
  if (!row) return
  const { keys, resources, worker_id: _id, labels: _labels, ...report } = told
  const pinned = keys.sealing_key === row.sealingKey && keys.signing_key === row.signingKey
  const law = pinned ? row.law : stepWorker(row.law, { type: 'keyChanged' }, core.clock.now())
  if (!pinned && row.law.state !== 'quarantined') {
    await recordAudit(core, tx, { by: `binding:${row.bindingId}`, action: 'worker.key_changed', target: row.id })
  }
  const next: WorkerRow = { ...row, resources, report, law: 'refused' in law ? row.law : law }
  await saveWorker({ core, tx }, next)
}

export function listWorkers(core: Core, polls: Polls, scope: Scope): { items: WorkerView[] } {
  const rows = scope === 'all' ? core.fleet.all() : core.fleet.ofProject(scope)
  return { items: rows.map((row) => viewWorker(core, polls, row)) }
}
