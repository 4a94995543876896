// An operator of the simulated pond, and the person who looks after lost attempts: drains workers, and adopts what came too late.

import type { ClaimRow } from '../../server/store/row.ts'
import type { Client } from '../../src/client/contract.ts'
import type { MemoryDevice } from '../harness/memory-blobs.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import type { Place } from './place.ts'
import type { Run } from './program.ts'

/** Orders one of the workers to leave, now and then with a deadline, and sometimes thinks better of it. */
export async function orderDrain(
  client: Client,
  { random, history }: Pick<Place, 'random' | 'history'>,
): Promise<void> {
  const found = await client.persist('listWorkers')
  if (!found.ok) return
  const { items } = found.reply
  const worker = items[Math.floor(random.number() * items.length)]
  if (!worker) return
  const deadlineMs = random.number() < 0.6 ? Math.round(random.number() * 20_000) : undefined
  const params = { id: worker.id }
  history.note('ordered', { worker: worker.id, deadline_ms: deadlineMs })
  await client.persist('drainWorker', { params, body: deadlineMs === undefined ? {} : { deadline_ms: deadlineMs } })
  if (random.number() < 0.3) await client.persist('resumeWorker', { params })
}

export interface Late {
  readonly place: Place
  readonly client: Client
  readonly rows: () => MemoryRows
  readonly device: MemoryDevice
  readonly runs: readonly Run[]
}

/** Each late result may be adopted, once; from then on it is what is read. */
export async function adoptLate(late: Late): Promise<void> {
  const { place, rows } = late
  const orphans = [...rows().claims.values()].filter(({ orphan }) => orphan)
  for (const orphan of orphans) if (place.random.number() < 0.7) await adopt(late, orphan)
}

async function adopt({ place, client, rows, device, runs }: Late, orphan: ClaimRow): Promise<void> {
  const { jobId: id, id: claim, attempt } = orphan
  const before = rows().jobs.get(id)?.law
  const answer = await client.persist('adoptAttempt', { params: { id }, body: { attempt } })
  place.history.note('adopt', { job: id, claim, attempt, ok: answer.ok })
  const taken = before?.adopted !== undefined && before.adopted.claimId !== claim
  if (answer.ok === taken) place.violate('a_late_result_is_adopted_once', { job: id, claim, ok: answer.ok })
  if (!answer.ok) return
  const { law, recipients } = rows().jobs.get(id) ?? {}
  if (law?.adopted?.claimId !== claim) place.violate('a_late_result_is_adopted_once', { job: id, claim })
  const stdout = await client.persist('readStream', { params: { id, name: 'stdout' }, query: { offset: 0 } })
  const stored = device.bytesOf(claim, 'stdout')
  const wrong = (what: string) => place.violate('what_was_adopted_is_read', { job: id, claim, what })
  if (stdout.ok && !Buffer.from(stdout.reply as Buffer).equals(stored)) wrong('stdout')
  if (!stdout.ok && stored.length > 0) wrong(stdout.error.code)
  const made = runs.find(({ plan }) => plan.claimId === claim)?.program.result
  if (recipients || orphan.cause !== 'exit') return
  const result = await client.persist('getResult', { params: { id } })
  if ((result.ok ? String(result.reply) : undefined) !== made) wrong('result')
}
