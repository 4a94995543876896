// Pairing: codes that an operator prints, and the binding that one of them leaves behind.
import type { LadderBody, PairingView } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, CodeId, KeyId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { AllowedLabels, Labels } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { PairBody, PairReply } from '../../src/protocol/orch.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { hashPondKey, pairingMac, pairingSecret, printPairingCode } from '../../src/seal/pairing.ts'
import type { SignableCall } from '../../src/seal/request-signature.ts'
import { hashToken, makeToken, sameText } from '../../src/seal/token.ts'
import { newWorker } from '../../src/state/worker.ts'
import type { BindingRow, BindingToken, CodeRow, WorkerRow } from '../store/row.ts'
import type { Access } from './access.ts'
import { recordAudit } from './audit.ts'
import { readLadder, viewLadder } from './binding.ts'
import type { Write } from './change.ts'
import type { Core } from './core.ts'
import { labelsFor } from './label.ts'
import { limitsOf } from './poll.ts'

/** Replies to the same pairing that were lost each left a token; more than this many are not kept. */
const TOKENS_MOST = 5

export async function createPairingCode(
  core: Core,
  asked: {
    readonly projectId: ProjectId
    readonly by: KeyId
    readonly uses?: number | undefined
    readonly expiresMs?: number | undefined
    readonly labels?: Labels | undefined
    readonly allowed_labels?: AllowedLabels | undefined
    readonly ephemeral?: boolean | undefined
    readonly ladder?: LadderBody | undefined
    readonly fingerprint?: string | undefined
  },
): Promise<PairingView & { code: string }> {
  const now = core.clock.now()
  const ladder = asked.ladder && readLadder(core, asked.projectId, asked.ladder)
  const row: CodeRow = {
    id: `cod_${core.newId()}` as CodeId,
    projectId: asked.projectId,
    usesLeft: asked.uses ?? 1,
    triesLeft: limit.pairingTries,
    labels: asked.labels ?? {},
    ...allowing(asked),
    ephemeral: asked.ephemeral ?? false,
    ...(ladder ? { ladder } : {}),
    ...(asked.fingerprint === undefined ? {} : { fingerprint: asked.fingerprint }),
    createdAt: now,
    expiresAt: now + (asked.expiresMs ?? limit.pairingCodeMs),
  }
  await core.store.write(async (tx) => {
    await tx.insertCode(row)
    await recordAudit(core, tx, { by: `admin:${asked.by}`, action: 'pairing.create', target: row.id })
  })
  const code = printPairingCode({
    id: row.id,
    secret: pairingSecret(core.keys.tokenKey, row.id),
    pondKeyHash: hashPondKey(core.keys.publicKey),
  })
  return { ...viewCode(core, row), code }
}

/** What is given is not chosen. */
export function allowing({
  labels = {},
  allowed_labels: allowedLabels,
}: {
  readonly labels?: Labels | undefined
  readonly allowed_labels?: AllowedLabels | undefined
}): Pick<CodeRow, 'allowedLabels'> {
  const both = Object.keys(allowedLabels ?? {}).find((key) => Object.hasOwn(labels, key))
  if (both !== undefined) {
    const field = `allowed_labels.${both}`
    throw new Refusal('invalid_field', `${field}: the code gives this label, so nobody chooses it`, { field })
  }
  return allowedLabels && Object.keys(allowedLabels).length > 0 ? { allowedLabels } : {}
}

export async function listPairingCodes(core: Core): Promise<{ items: PairingView[] }> {
  const rows = await core.store.read((tx) => tx.listCodes())
  const usable = rows.filter((row) => row.bindingId === undefined && isUsable(core, row))
  return { items: usable.map((row) => viewCode(core, row)) }
}

export function isUsable(core: Core, row: CodeRow): boolean {
  return row.usesLeft > 0 && row.triesLeft > 0 && row.expiresAt > core.clock.now()
}

/** No machine pairs with it from the commit on. A repeat changes nothing. */
export async function revokePairingCode(core: Core, id: CodeId, by: KeyId): Promise<Record<string, never>> {
  await core.store.write(async (tx) => {
    const row = await tx.getCode(id)
    if (!row || row.bindingId !== undefined) throw new Refusal('not_found', `there is no pairing code ${id}`)
    await endCode({ core, tx }, row, { by: `admin:${by}`, action: 'pairing.revoke' })
  })
  return {}
}

/** Nothing is gained with it from the commit on. A code that is over already is left as it is. */
export async function endCode(
  { core, tx }: Write,
  row: CodeRow,
  entry: { readonly by: string; readonly action: string },
): Promise<void> {
  if (row.usesLeft === 0 && row.expiresAt <= core.clock.now()) return
  await tx.updateCode({ ...row, usesLeft: 0, expiresAt: Math.min(row.expiresAt, core.clock.now()) })
  await recordAudit(core, tx, { ...entry, target: row.id })
}

function viewCode(core: Core, row: CodeRow): PairingView {
  return {
    id: row.id,
    project: core.projects.get(row.projectId) ?? row.projectId,
    uses_left: row.usesLeft,
    tries_left: row.triesLeft,
    labels: { ...row.labels },
    allowed_labels: { ...row.allowedLabels },
    ephemeral: row.ephemeral,
    ...(row.ladder ? { ladder: viewLadder(core, row.ladder) } : {}),
    ...(row.fingerprint === undefined ? {} : { fingerprint: row.fingerprint }),
    created_at: row.createdAt,
    expires_at: row.expiresAt,
  }
}

/**
 * Pairs a machine. The same code with the same binding key leads to the same binding within the code's life until its token was used, so a lost reply loses
 * nothing and a replay gains nothing; a wrong MAC burns one of the code's tries, and that is stored although the call is refused. A call that is not signed
 * with the key that it brings burns none: a machine whose clock is wrong learns the time from the refusal and calls again.
 */
export async function pair(
  { core, access }: Omit<Pairing, 'tx'>,
  body: PairBody,
  call: SignableCall,
): Promise<PairReply> {
  if (body.protocol < OLDEST_PROTOCOL || body.protocol > PROTOCOL) {
    throw new Refusal('upgrade_required', `protocol ${body.protocol} is not spoken here`, {
      protocol: PROTOCOL,
      oldest: OLDEST_PROTOCOL,
    })
  }
  access.requireSigned(body.binding_key, call)
  const outcome = await core.store.write((tx) => pairIn({ core, access, tx }, body))
  if (outcome instanceof Refusal) throw outcome
  return outcome
}

/** The inside of one pairing's write. */
interface Pairing extends Write {
  readonly access: Access
}

async function pairIn(pairing: Pairing, body: PairBody): Promise<PairReply | Refusal> {
  const { core, tx } = pairing
  const code = await tx.getCode(body.code)
  if (!code || code.bindingId !== undefined || code.expiresAt <= core.clock.now()) return codeExpired()
  if (code.triesLeft <= 0) return codeBurned()
  const { mac, ...said } = body
  if (!sameText(mac, pairingMac(pairingSecret(core.keys.tokenKey, code.id), said))) {
    return await burn(pairing, code, { action: 'pairing.wrong_mac' })
  }
  const stranger = strangerTo(code, body.worker)
  if (stranger) return await burn(pairing, code, { action: 'pairing.wrong_keys', stranger })
  const known = await tx.findBinding(code.id, body.binding_key)
  if (known?.state === 'active' && !known.tokens.some(({ used }) => used)) return await again(pairing, known)
  if (known || code.usesLeft <= 0) return new Refusal('code_used', 'the code was used by another machine')
  const labels = labelsFor(code, body.worker)
  return labels instanceof Refusal ? labels : await bind(pairing, code, { body, labels })
}

export const codeExpired = () => new Refusal('code_expired', 'the code has expired, or never was')
export const codeBurned = () => new Refusal('code_burned', 'the code was tried wrongly too often')

/** The fingerprint of keys that a code is not for. */
export function strangerTo(
  code: CodeRow,
  keys: { readonly sealing_key: string; readonly signing_key: string },
): string | undefined {
  const shown = fingerprint(keys.sealing_key, keys.signing_key)
  return code.fingerprint === undefined || code.fingerprint === shown ? undefined : shown
}

/** A wrong try costs the code one of its tries, and no more. */
export async function burn(
  { core, tx }: Write,
  code: CodeRow,
  wrong: { readonly action: string; readonly stranger?: string },
): Promise<Refusal> {
  const { action, stranger } = wrong
  const triesLeft = code.triesLeft - 1
  await tx.updateCode({ ...code, triesLeft })
  const note = stranger === undefined ? {} : { note: `keys ${stranger}` }
  await recordAudit(core, tx, { by: 'nobody', action, target: code.id, ...note })
  if (triesLeft <= 0) return codeBurned()
  return stranger === undefined
    ? new Refusal('unauthenticated', 'the MAC does not prove the code', { tries_left: triesLeft })
    : new Refusal('forbidden', 'the code is for the keys of another machine', { tries_left: triesLeft })
}

async function again({ core, access, tx }: Pairing, binding: BindingRow): Promise<PairReply> {
  const { token, row } = freshToken(core, binding.bindingKey)
  const next = { ...binding, tokens: [...binding.tokens, row].slice(-TOKENS_MOST) }
  await tx.updateBinding(next)
  tx.afterCommit(() => access.setBinding(binding, next))
  const [worker] = await tx.listWorkers({ bindingId: binding.id })
  if (!worker) throw new Error(`binding ${binding.id} has no worker`)
  return reply(core, binding, { worker, token })
}

function freshToken(core: Core, bindingKey: string): { readonly token: string; readonly row: BindingToken } {
  const token = makeToken('binding', core.random)
  const expiresAt = core.clock.now() + core.settings.tokenLifeMs
  return { token, row: { hash: hashToken(token), expiresAt, bindingKey, pondKey: core.keys.publicKey, used: false } }
}

async function bind(
  { core, access, tx }: Pairing,
  code: CodeRow,
  { body, labels }: { readonly body: PairBody; readonly labels: Pick<WorkerRow, 'labels' | 'ownLabels'> },
): Promise<PairReply> {
  const { token, row } = freshToken(core, body.binding_key)
  const binding: BindingRow = {
    id: `bnd_${core.newId()}` as BindingId,
    projectId: code.projectId,
    codeId: code.id,
    name: body.name,
    bindingKey: body.binding_key,
    state: 'active',
    tokens: [row],
    ephemeral: code.ephemeral,
    ...(code.ladder ? { ladder: code.ladder } : {}),
    createdAt: core.clock.now(),
  }
  const worker: WorkerRow = {
    id: `wrk_${core.newId()}` as WorkerId,
    bindingId: binding.id,
    projectId: code.projectId,
    name: body.name,
    sealingKey: body.worker.sealing_key,
    signingKey: body.worker.signing_key,
    ...labels,
    resources: body.worker.resources,
    law: newWorker,
    createdAt: core.clock.now(),
  }
  await tx.insertBinding(binding)
  await tx.insertWorker(worker)
  await tx.updateCode({ ...code, usesLeft: code.usesLeft - 1 })
  await recordAudit(core, tx, { by: `code:${code.id}`, action: 'binding.create', target: binding.id, note: body.name })
  tx.afterCommit(() => {
    access.setBinding(undefined, binding)
    core.ladders.set(binding)
    core.fleet.set(worker)
  })
  return reply(core, binding, { worker, token })
}

function reply(
  core: Core,
  binding: BindingRow,
  made: { readonly worker: WorkerRow; readonly token: string },
): PairReply {
  return {
    binding_id: binding.id,
    worker_id: made.worker.id,
    token: made.token,
    token_expires_at: core.clock.now() + core.settings.tokenLifeMs,
    protocol: PROTOCOL,
    pond_key: core.keys.publicKey,
    project: core.projects.get(binding.projectId) ?? binding.projectId,
    ...(binding.ephemeral && { ephemeral: true }),
    labels: { ...made.worker.labels },
    limits: limitsOf(core.settings.pollHoldMs),
  }
}
