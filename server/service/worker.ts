// Workers: what they tell of themselves, who may see it, and who is shut out. A snapshot never pins a key.
import type { WorkerView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import type { SnapshotBody } from '../../src/protocol/orch.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { stepWorker, type WorkerEvent } from '../../src/state/worker.ts'
import type { WorkerKeys, WorkerRow } from '../store/row.ts'
import { type Identity, unproved } from './access.ts'
import { recordAudit } from './audit.ts'
import { saveWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import type { Scope } from './job.ts'
import { workersFor } from './ladder.ts'
import { applyLeaseIn } from './lease.ts'
import type { Polls } from './poll.ts'
import { endFormerKeys } from './rotation.ts'
import { liftStop } from './stop.ts'
import { viewWorker } from './view.ts'

/** Only the newest snapshot of a session counts; a repeat or a late one changes nothing. */
export class Snapshots {
  readonly #core: Core
  readonly #newest = new Map<BindingId, { session: string; seq: number }>()

  constructor(core: Core) {
    this.#core = core
  }

  /** `passing`: signed with a call key. */
  async hear({ bindingId, passing }: Teller, body: SnapshotBody): Promise<Record<string, never>> {
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
        for (const told of body.workers) await hearWorker({ core: this.#core, tx }, told, passing)
      })
    } catch (error) {
      // It was not heard, so that it must count when it is sent again.
      if (this.#newest.get(bindingId) === mine) this.#newest.delete(bindingId)
      throw error
    }
    for (const { worker_id } of body.workers) await loseLate(this.#core, worker_id)
    this.#core.ready.send(bindingId)
    return {}
  }
}

async function hearWorker(write: Write, told: SnapshotBody['workers'][number], passing: boolean): Promise<void> {
  const row = await write.tx.getWorker(told.worker_id)
  if (!row) return
  const { keys, resources, worker_id: _id, labels: _labels, ...report } = told
  const next = { ...row, resources, report: Object.assign({}, classOf(row), report) }
  const shown = { sealingKey: keys.sealing_key, signingKey: keys.signing_key }
  if (isSame(row, shown)) await saveWorker(write, endFormerKeys(next, write.core.clock.now()))
  else if (isReplaced(row, shown)) await saveWorker(write, next)
  else if (passing) throw unproved()
  else await quarantine(write, next, shown)
}

/** Quarantine outlasts a call key: whoever holds no more than one cannot bring it about. The swarm says such a snapshot again with its binding key. */
type Teller = Pick<Extract<Identity, { kind: 'binding' }>, 'bindingId' | 'passing'>

/** A swarm that was just started says it only once it has heard that pond knows the word; until then a laptop stays one, with its longer lease. */
const classOf = ({ report }: WorkerRow) => (report?.class === undefined ? {} : { class: report.class })

/** Keys that were just replaced are shown until the reply that says so has arrived. */
function isReplaced({ formerKeys = [] }: WorkerRow, shown: WorkerKeys): boolean {
  return formerKeys.some((keys) => keys.until === undefined && isSame(keys, shown))
}

const isSame = (one: WorkerKeys, other: WorkerKeys | undefined) =>
  one.sealingKey === other?.sealingKey && one.signingKey === other.signingKey

const printOf = ({ sealingKey, signingKey }: WorkerKeys) => fingerprint(sealingKey, signingKey)

/** It is not the machine that was pinned: it gets nothing more, and what it has is lost at once. */
async function quarantine(write: Write, row: WorkerRow, shown: WorkerKeys): Promise<void> {
  const { core, tx } = write
  const law = stepWorker(row.law, { type: 'keyChanged' }, core.clock.now())
  const isNews = row.law.state !== 'revoked' && !isSame(shown, row.shownKeys)
  if (isNews) {
    const note = `shows ${printOf(shown)}, pinned ${printOf(row)}`
    await recordAudit(core, tx, { by: `binding:${row.bindingId}`, action: 'worker.key_changed', target: row.id, note })
  }
  await saveWorker(write, { ...row, ...('refused' in law ? {} : { law }), ...(isNews && { shownKeys: shown }) })
  await loseClaims(write, row.id, 'its worker showed other keys than the pinned ones')
}

async function loseClaims({ core, tx }: Write, workerId: WorkerId, note: string): Promise<void> {
  const bindingId = core.fleet.get(workerId)?.bindingId
  if (!bindingId) return
  for (const live of [...core.live.ofBinding(bindingId)].filter((claim) => claim.workerId === workerId)) {
    const claim = await tx.getClaim(live.id)
    if (claim) await applyLeaseIn({ core, tx }, claim, { event: { type: 'revoke' }, note })
  }
  tx.afterCommit(() => core.tell.send(bindingId))
}

/** Claims that were made in the commit that shut the worker out were not known yet when it did. */
async function loseLate(core: Core, workerId: WorkerId): Promise<void> {
  const worker = core.fleet.get(workerId)
  if (worker?.law.state !== 'quarantined' && worker?.law.state !== 'revoked') return
  const late = [...core.live.ofBinding(worker.bindingId)].some((claim) => claim.workerId === workerId)
  if (late) await core.store.write((tx) => loseClaims({ core, tx }, workerId, 'its worker was shut out'))
}

export function listWorkers(core: Core, polls: Polls, scope: Scope): { items: WorkerView[] } {
  const rows = scope === 'all' ? core.fleet.listed() : workersFor(core, scope)
  return { items: rows.map((row) => viewWorker(core, polls, row)) }
}

interface Judgement {
  readonly id: WorkerId
  /** Who judges. */
  readonly by: string
}

interface WorkerParts {
  readonly core: Core
  readonly polls: Polls
}

/** A person looked: it is trusted again, under the keys that were pinned. A repeat changes nothing. */
export async function reinstateWorker(parts: WorkerParts, judgement: Judgement): Promise<WorkerView> {
  const row = await judgeWorker(parts, judgement, { type: 'reinstate' })
  parts.core.ready.send(row.bindingId)
  return viewWorker(parts.core, parts.polls, row)
}

/** It gets nothing from the commit on, and every claim it holds is lost. The other workers of its binding go on. A repeat changes nothing. */
export async function revokeWorker(parts: WorkerParts, judgement: Judgement): Promise<WorkerView> {
  const row = await judgeWorker(parts, judgement, { type: 'revoke' })
  await loseLate(parts.core, row.id)
  return viewWorker(parts.core, parts.polls, row)
}

type Verdict = Extract<WorkerEvent, { readonly type: 'reinstate' | 'revoke' }>

function judgeWorker({ core }: WorkerParts, { id, by }: Judgement, event: Verdict): Promise<WorkerRow> {
  return core.store.write(async (tx) => {
    const row = await tx.getWorker(id)
    if (!row) throw new Refusal('not_found', `there is no worker ${id}`)
    const law = stepWorker(row.law, event, core.clock.now())
    if ('refused' in law) {
      if (row.law.state === 'revoked' && event.type === 'reinstate') {
        throw new Refusal('not_possible', 'the worker was revoked; enroll it anew', { state: row.law.state })
      }
      return row
    }
    const { shownKeys: _shown, ...rest } = row
    const next: WorkerRow = event.type === 'reinstate' ? { ...rest, law } : { ...row, law }
    await saveWorker({ core, tx }, next)
    await recordAudit(core, tx, { by, action: `worker.${event.type}`, target: id })
    if (event.type === 'revoke') {
      await liftStop({ core, tx }, id, { by })
      await loseClaims({ core, tx }, id, 'its worker was revoked')
    }
    return next
  })
}
