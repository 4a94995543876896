// Enrollment: codes that let one more worker join a binding, and the worker that one of them leaves behind.
import type { EnrollmentBody, EnrollmentView } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, CodeId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { EnrollBody, EnrollReply } from '../../src/protocol/orch.ts'
import { enrolledMac, enrollmentMac, enrollmentSecret } from '../../src/seal/enrollment.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { hashPondKey, printPairingCode } from '../../src/seal/pairing.ts'
import { sameText } from '../../src/seal/token.ts'
import { newWorker } from '../../src/state/worker.ts'
import type { CodeRow, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import type { Write } from './change.ts'
import type { Core } from './core.ts'
import { labelsFor } from './label.ts'
import { allowing, burn, codeBurned, codeExpired, endCode, isUsable, strangerTo } from './pairing.ts'

/** A code of enrollment always names its binding. */
type EnrollmentCode = CodeRow & { readonly bindingId: BindingId }
const isEnrollment = (row: CodeRow | undefined): row is EnrollmentCode => row?.bindingId !== undefined

export async function createEnrollmentCode(
  core: Core,
  body: EnrollmentBody,
  by: string,
): Promise<EnrollmentView & { code: string }> {
  const row = await core.store.write(async (tx) => {
    const binding = await tx.getBinding(body.binding)
    if (!binding) throw new Refusal('not_found', `there is no binding ${body.binding}`, { field: 'binding' })
    if (binding.state === 'revoked') {
      throw new Refusal('not_possible', `the binding ${binding.id} is revoked`, { state: binding.state })
    }
    const now = core.clock.now()
    const row: EnrollmentCode = {
      id: `cod_${core.newId()}` as CodeId,
      projectId: binding.projectId,
      bindingId: binding.id,
      usesLeft: 1,
      triesLeft: limit.pairingTries,
      labels: body.labels ?? {},
      ...allowing(body),
      ephemeral: false,
      ...(body.fingerprint === undefined ? {} : { fingerprint: body.fingerprint }),
      createdAt: now,
      expiresAt: now + (body.expires_ms ?? limit.pairingCodeMs),
    }
    await tx.insertCode(row)
    await recordAudit(core, tx, { by, action: 'enrollment.create', target: row.id, note: `for ${binding.id}` })
    return row
  })
  const code = printPairingCode({
    id: row.id,
    secret: enrollmentSecret(core.keys.tokenKey, row.id),
    pondKeyHash: hashPondKey(core.keys.publicKey),
  })
  return { ...viewCode(row), code }
}

export async function listEnrollmentCodes(core: Core): Promise<{ items: EnrollmentView[] }> {
  const rows = await core.store.read((tx) => tx.listCodes())
  return { items: rows.filter(isEnrollment).flatMap((row) => (isUsable(core, row) ? [viewCode(row)] : [])) }
}

/** No worker enrolls with it from the commit on. A repeat changes nothing. */
export async function revokeEnrollmentCode(core: Core, id: CodeId, by: string): Promise<Record<string, never>> {
  await core.store.write(async (tx) => {
    const row = await tx.getCode(id)
    if (!isEnrollment(row)) throw new Refusal('not_found', `there is no enrollment code ${id}`)
    await endCode({ core, tx }, row, { by, action: 'enrollment.revoke' })
  })
  return {}
}

function viewCode(row: EnrollmentCode): EnrollmentView {
  return {
    id: row.id,
    binding_id: row.bindingId,
    tries_left: row.triesLeft,
    labels: { ...row.labels },
    allowed_labels: { ...row.allowedLabels },
    ...(row.fingerprint === undefined ? {} : { fingerprint: row.fingerprint }),
    created_at: row.createdAt,
    expires_at: row.expiresAt,
  }
}

interface Asked {
  readonly bindingId: BindingId
  readonly codeId: CodeId
  readonly body: EnrollBody
}

/**
 * Takes in one more worker. The orchestrator that carries the call does not know the code's secret, so it can put no keys of its own in. The same code with
 * the same keys leads to the same worker within the code's life; a wrong try is stored although the call is refused.
 */
export async function enroll(core: Core, asked: Asked): Promise<EnrollReply> {
  const outcome = await core.store.write((tx) => enrollIn({ core, tx }, asked))
  if (outcome instanceof Refusal) throw outcome
  const said = { worker_id: outcome.id, pond_key: core.keys.publicKey }
  return {
    ...said,
    labels: { ...outcome.labels },
    mac: enrolledMac(enrollmentSecret(core.keys.tokenKey, asked.codeId), asked.codeId, said),
  }
}

async function enrollIn(write: Write, { bindingId, codeId, body }: Asked): Promise<WorkerRow | Refusal> {
  const { core, tx } = write
  const code = await tx.getCode(codeId)
  if (!isEnrollment(code) || code.bindingId !== bindingId || code.expiresAt <= core.clock.now()) return codeExpired()
  if (code.triesLeft <= 0) return codeBurned()
  const { mac, ...said } = body
  const pondKeyHash = hashPondKey(core.keys.publicKey)
  const secret = enrollmentSecret(core.keys.tokenKey, codeId)
  if (!sameText(mac, enrollmentMac(secret, { pondKeyHash, bindingId, codeId, said }))) {
    return await burn(write, code, { action: 'enrollment.wrong_mac' })
  }
  const stranger = strangerTo(code, body.worker)
  if (stranger) return await burn(write, code, { action: 'enrollment.wrong_keys', stranger })
  const mates = await tx.listWorkers({ bindingId })
  const known = mates.find((row) => row.codeId === codeId)
  if (known) return isSame(known, body) ? known : codeUsed()
  if (code.usesLeft <= 0) return codeUsed()
  if (mates.length >= limit.workersPerBinding) {
    return new Refusal('not_possible', 'the binding has no room for another worker', { most: limit.workersPerBinding })
  }
  const labels = labelsFor(code, body.worker)
  if (labels instanceof Refusal) return labels
  return await takeIn(write, code, { body, labels })
}

const codeUsed = () => new Refusal('code_used', 'the code was used by another worker')

function isSame(known: WorkerRow, { worker }: EnrollBody): boolean {
  const pinned = known.sealingKey === worker.sealing_key && known.signingKey === worker.signing_key
  return pinned && known.law.state !== 'revoked'
}

async function takeIn(
  { core, tx }: Write,
  code: EnrollmentCode,
  { body, labels }: { readonly body: EnrollBody; readonly labels: Pick<WorkerRow, 'labels' | 'ownLabels'> },
): Promise<WorkerRow> {
  const { sealing_key, signing_key, resources } = body.worker
  const worker: WorkerRow = {
    id: `wrk_${core.newId()}` as WorkerId,
    bindingId: code.bindingId,
    projectId: code.projectId,
    name: body.name,
    sealingKey: sealing_key,
    signingKey: signing_key,
    codeId: code.id,
    ...labels,
    resources,
    law: newWorker,
    createdAt: core.clock.now(),
  }
  await tx.insertWorker(worker)
  await tx.updateCode({ ...code, usesLeft: code.usesLeft - 1 })
  const note = `${body.name}, keys ${fingerprint(sealing_key, signing_key)}`
  await recordAudit(core, tx, { by: `code:${code.id}`, action: 'worker.enroll', target: worker.id, note })
  tx.afterCommit(() => core.fleet.set(worker))
  return worker
}
