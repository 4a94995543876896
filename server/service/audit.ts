// The audit log: who did what to whom, for what touches trust. Appended inside the write that does it.
import type { AuditRow, WriteTx } from '../store/contract.ts'
import type { Core } from './core.ts'

export function recordAudit(core: Core, tx: WriteTx, entry: Omit<AuditRow, 'id' | 'at'>): Promise<void> {
  return tx.insertAudit({ id: `aud_${core.newId()}`, at: core.clock.now(), ...entry })
}
