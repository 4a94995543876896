// Rotation: tokens and keys that replace others. Keys are believed only when the key that they replace signed them.
import type { PondKeyView } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import type { RotateBody, RotateReply } from '../../src/protocol/renewal.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { openRotation, type RotationOf } from '../../src/seal/rotation.ts'
import { hashToken, renewedToken } from '../../src/seal/token.ts'
import type { BindingRow, BindingToken, WorkerKeys, WorkerRow } from '../store/row.ts'
import type { Access } from './access.ts'
import { recordAudit } from './audit.ts'
import { saveWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import { endCode } from './pairing.ts'

/** Keys that a worker had before. What older ones signed belongs to claims that are long over, and who pinned them compares anew. */
const FORMER_MOST = 16

/** Renewals to other keys that were never used; more are not kept. */
const TOKENS_BETWEEN = 3

export interface RotateCaller {
  readonly bindingId: BindingId
  readonly token: BindingToken
}

/**
 * Gives the binding a new token, bound to the keys of now. The token that asks lives until the new one is used, so a lost reply loses nothing; a repeat gets
 * the same answer.
 */
export async function rotate(
  { core, access }: { readonly core: Core; readonly access: Access },
  caller: RotateCaller,
  body: RotateBody,
): Promise<RotateReply> {
  return await core.store.write(async (tx) => {
    const write = { core, tx }
    const row = await tx.getBinding(caller.bindingId)
    const asking = row?.tokens.find(({ hash }) => hash === caller.token.hash)
    if (!row || !asking || row.state === 'revoked') {
      throw new Refusal('unauthenticated', 'the token is unknown, expired or revoked')
    }
    const bindingKey = body.binding ? await newBindingKey(write, { row, asking }, body.binding) : asking.bindingKey
    const workers: WorkerId[] = []
    for (const [index, signed] of (body.workers ?? []).entries()) {
      const rotated = await rotateWorker(write, row, { signed, index })
      if (rotated) workers.push(rotated)
    }
    const { token, renewed } = renew(core, row, { asking, bindingKey })
    const next = withToken(row, asking, renewed)
    if (next !== row) {
      await tx.updateBinding(next)
      const note = bindingKey === asking.bindingKey ? {} : { note: `key ${fingerprint(bindingKey)}` }
      await recordAudit(core, tx, { by: `binding:${row.id}`, action: 'binding.rotate', target: row.id, ...note })
      tx.afterCommit(() => access.setBinding(row, next))
    }
    return {
      token,
      token_expires_at: renewed.expiresAt,
      workers,
      pond_key: core.keys.publicKey,
      pond_rotations: rotationsFrom(core, asking.pondKey),
    }
  })
}

/** It stands in the row when the token that is bound to it is first used. */
async function newBindingKey(
  { tx }: Write,
  { row, asking }: { readonly row: BindingRow; readonly asking: BindingToken },
  signed: Dsse,
): Promise<string> {
  const said = open(signed, { kind: 'binding', key: asking.bindingKey, field: 'binding' })
  const holder = await tx.findBinding(row.codeId, said.binding_key)
  if (said.binding_id !== row.id || (holder && holder.id !== row.id)) throw unproved('binding')
  return said.binding_key
}

/** The token that follows the one that asks: the one that was told before, as long as it lives, or one with a whole new life. */
function renew(
  core: Core,
  row: BindingRow,
  { asking, bindingKey }: { readonly asking: BindingToken; readonly bindingKey: string },
): { readonly token: string; readonly renewed: BindingToken } {
  const pondKey = core.keys.publicKey
  const now = core.clock.now()
  const token = renewedToken(core.keys.tokenKey, { bindingId: row.id, before: asking.hash, bindingKey, pondKey })
  const hash = hashToken(token)
  const told = row.tokens.find((it) => it.hash === hash)
  const fresh = { hash, expiresAt: now + core.settings.tokenLifeMs, bindingKey, pondKey, used: false }
  return { token, renewed: told && told.expiresAt > now ? told : fresh }
}

/** Of earlier renewals only those that the same token asked for may still be on their way. */
function withToken(row: BindingRow, asking: BindingToken, renewed: BindingToken): BindingRow {
  if (row.tokens.includes(renewed)) return row
  const others = row.tokens.filter(({ hash }) => hash !== renewed.hash && hash !== asking.hash)
  return { ...row, tokens: [asking, ...others.slice(-TOKENS_BETWEEN), renewed] }
}

/** The worker, if its keys are those of the rotation now. One that is shut out keeps its own, so that it stops neither the others of its binding nor their token. */
async function rotateWorker(
  write: Write,
  binding: BindingRow,
  { signed, index }: { readonly signed: Dsse; readonly index: number },
): Promise<WorkerId | undefined> {
  const { core, tx } = write
  const field = `workers.${index}`
  const key = signed.signatures[0]?.keyid ?? ''
  const said = open(signed, { kind: 'worker', key, field })
  const row = await tx.getWorker(said.worker_id)
  if (row?.bindingId !== binding.id) throw unproved(field)
  if (isRepeat(row, key, said)) return row.id
  if (row.signingKey !== key) throw unproved(field)
  if (row.law.state === 'quarantined' || row.law.state === 'revoked') return undefined
  if (isTaken(core, said))
    throw new Refusal('invalid_field', `${field} names a key that a worker has or had`, { field })
  const { sealingKey, signingKey } = row
  // Who signs with the keys of now has them in use.
  const { formerKeys = [] } = endFormerKeys(row, core.clock.now())
  const rotation = { ...signed, signatures: signed.signatures.slice(0, 1) }
  const next: WorkerRow = {
    ...row,
    sealingKey: said.sealing_key,
    signingKey: said.signing_key,
    formerKeys: [{ sealingKey, signingKey, rotation }, ...formerKeys].slice(0, FORMER_MOST),
  }
  await saveWorker(write, next)
  const note = `${fingerprint(sealingKey, signingKey)} to ${fingerprint(said.sealing_key, said.signing_key)}`
  await recordAudit(core, tx, { by: `binding:${binding.id}`, action: 'worker.rotate', target: row.id, note })
  return row.id
}

/** A key stands for one worker and one time: who pinned it could not tell them apart. */
function isTaken({ fleet }: Core, { sealing_key, signing_key }: RotationOf<'worker'>): boolean {
  const all = fleet.all().flatMap((worker): WorkerKeys[] => [worker, ...(worker.formerKeys ?? [])])
  return all.some(({ sealingKey, signingKey }) => sealingKey === sealing_key || signingKey === signing_key)
}

/** The worker uses its keys of now: with those before them nothing is signed any more. */
export function endFormerKeys(row: WorkerRow, now: number): WorkerRow {
  if (!row.formerKeys?.some(({ until }) => until === undefined)) return row
  return { ...row, formerKeys: row.formerKeys.map((keys) => ({ ...keys, until: keys.until ?? now })) }
}

/** The very rotation that was heard last: its reply was lost. */
function isRepeat(row: WorkerRow, key: string, said: RotationOf<'worker'>): boolean {
  const pinned = row.sealingKey === said.sealing_key && row.signingKey === said.signing_key
  return pinned && row.formerKeys?.[0]?.signingKey === key
}

interface Expected<K> {
  readonly kind: K
  readonly key: string
  readonly field: string
}

/** A signature that does not hold is refused in one way, whatever is wrong. */
function open<K extends 'binding' | 'worker'>(signed: Dsse, { kind, key, field }: Expected<K>): RotationOf<K> {
  try {
    return openRotation(signed, kind, key)
  } catch (error) {
    if (error instanceof SealError) throw unproved(field)
    throw error
  }
}

function unproved(field: string): Refusal {
  return new Refusal('invalid_field', `${field} is not signed by the key that it replaces`, { field })
}

/** From the key that somebody knows to the one of now. Who knows a key of another chain gets all of it, and will refuse it. */
function rotationsFrom(core: Core, known: string): Dsse[] {
  const { publicKey, rotations } = core.keys
  if (known === publicKey) return []
  const first = rotations.findIndex(({ signatures }) => signatures[0]?.keyid === known)
  return rotations.slice(Math.max(0, first))
}

/** Replaces pond's own keys. Codes that were printed before name the old key, so they are taken back. Bindings hear of it in their next reply. */
export async function rotatePondKey(core: Core, by: string): Promise<PondKeyView> {
  if (!core.rotateKeys) throw new Refusal('unsupported', 'the keys of this pond cannot be replaced', {})
  const before = core.keys.publicKey
  const keys = await core.rotateKeys()
  core.keys = keys
  const now = core.clock.now()
  const bindings = await core.store.write(async (tx) => {
    for (const code of await tx.listCodes()) {
      if (code.expiresAt > now) await endCode({ core, tx }, code, { by, action: 'code.revoke' })
    }
    const note = `${fingerprint(before)} to ${fingerprint(keys.publicKey)}`
    await recordAudit(core, tx, { by, action: 'pond.rotate', target: 'pond', note })
    return await tx.listBindings()
  })
  for (const { id } of bindings) core.tell.send(id)
  return { signing_key: keys.publicKey, sealing_key: keys.sealing[0].publicKey, rotated_at: now }
}
