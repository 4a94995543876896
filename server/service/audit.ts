// The audit log: who did what to whom, for what touches trust. Appended inside the write that does it.
import { limit } from '../../src/protocol/limit.ts'
import type { WriteTx } from '../store/contract.ts'
import type { AuditRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { type Alarm, alarms } from './meter.ts'

export function recordAudit(core: Core, tx: WriteTx, entry: Omit<AuditRow, 'id' | 'at'>): Promise<void> {
  const { meter } = core
  const { action } = entry
  if (meter && isAlarm(action)) tx.afterCommit(() => meter.audited(action))
  return tx.insertAudit({ id: `aud_${core.newId()}`, at: core.clock.now(), ...entry })
}

function isAlarm(action: string): action is Alarm {
  return (alarms as readonly string[]).includes(action)
}

export async function listAudit(
  core: Core,
  query: { readonly limit?: number | undefined; readonly cursor?: string | undefined },
): Promise<{ items: readonly AuditRow[]; next: string | null }> {
  const most = query.limit ?? limit.listDefault
  const items = await core.store.read((tx) => tx.listAudit(most, query.cursor))
  const last = items.at(-1)
  return { items, next: last && items.length === most ? last.id : null }
}
