// Bundles: sealed input archives of projects, found by the digest of their stored bytes. Pond appends, counts and hashes; what is inside stays shut.
import type { BundleView } from '../../src/protocol/asset.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BundleId, ProjectId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { CustodyDetached } from '../../src/protocol/sealed.ts'
import { readCustodyDetached, sealDetached } from '../../src/seal/envelope.ts'
import { appendMost, type StreamKey } from '../blob/contract.ts'
import type { WriteTx } from '../store/contract.ts'
import type { BundleRow } from '../store/row.ts'
import { requireArchive } from './archive.ts'
import { recordAudit } from './audit.ts'
import type { Core } from './core.ts'
import { vetCustody } from './custody.ts'
import type { Owner } from './recipient.ts'

/** Where the stored bytes of a bundle are. */
export const framesOf = ({ id }: BundleRow): StreamKey => ({ claimId: id, name: 'frames' })

/** Says that a bundle is used, so that it stays. */
export async function touchBundle(core: Core, tx: WriteTx, row: BundleRow): Promise<void> {
  const now = core.clock.now()
  if (row.usedAt < now) await tx.updateBundle({ ...row, usedAt: now })
}

export class Bundles {
  readonly #core: Core
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(core: Core) {
    this.#core = core
  }

  /** Removes what a former life was sealing when it died: nobody was told its digest. */
  async load(): Promise<void> {
    for (const row of await this.#core.store.read((tx) => tx.listNameless())) await this.#remove(row)
  }

  async get(projectId: ProjectId, digest: string): Promise<BundleView> {
    const row = await this.#find(projectId, digest)
    if (!row) throw new Refusal('not_found', `there is no bundle ${digest}`, { field: 'digest' })
    return await this.#view(row)
  }

  /** Appends sealed bytes. What is stored already is skipped, so that a repeat, or another upload of the same, does no harm. */
  async put(
    owner: Owner,
    { digest, offset, size }: { readonly digest: string; readonly offset: number; readonly size: number },
    bytes: Uint8Array,
  ): Promise<BundleView> {
    checkPiece({ offset, size }, bytes)
    return await this.#turn(owner.projectId, digest, async () => {
      const known = await this.#find(owner.projectId, digest)
      if (!known && offset > 0) throw gap(offset, 0)
      const row = known ?? (await this.#insert(owner, { digest, size }))
      checkSize(row, size, 'size')
      if (row.complete) return await this.#view(row)
      const { committed } = await this.#core.blobs.stat(framesOf(row))
      if (offset > committed) throw gap(offset, committed)
      await this.#append(row, committed, bytes.subarray(committed - offset))
      return await this.#view(await this.#settle(owner, row))
    })
  }

  /** Keeps the boxes, in the place of those before, which stay in the hands that they are in: jobs that name them would open nothing any more. They may come before the bytes. */
  async seal(owner: Owner, digest: string, custody: CustodyDetached): Promise<BundleView> {
    const place = { kind: 'bundle', project: this.#nameOf(owner.projectId) } as const
    const read = () => readCustodyDetached(custody)
    const { sealed, signer, field } = vetCustody(this.#core, custody, { read, place })
    if (sealed.digest !== digest) {
      throw new Refusal('invalid_field', `${field}.digest is not that of the path`, { field: `${field}.digest` })
    }
    const text = JSON.stringify(custody)
    return await this.#turn(owner.projectId, digest, async () => {
      const found = await this.#find(owner.projectId, digest)
      if (found) checkSize(found, sealed.size, `${field}.size`)
      if (found?.custody !== undefined && found.signer !== signer) {
        throw new Refusal('exists', 'the boxes of this bundle are in other hands', { field: 'digest' })
      }
      const row = found ?? (await this.#insert(owner, { digest, size: sealed.size }))
      if (row.custody === text) return await this.#view(row)
      const note = `sealed to ${sealed.boxes.map(({ to }) => to).join(' ')}`
      const next = await this.#change(owner, row.id, {
        change: ({ signer: _, ...kept }) => ({ ...kept, custody: text, ...(signer === undefined ? {} : { signer }) }),
        audit: { action: 'bundle.seal', note },
      })
      return await this.#view(next)
    })
  }

  /** Seals a plain archive to pond itself while it comes, under a fresh content key. What breaks off leaves nothing. */
  async create(owner: Owner, source: AsyncIterable<Uint8Array>): Promise<BundleView> {
    const { keys, random, sodium } = this.#core
    const row = await this.#insert(owner, { size: 0 })
    try {
      const context = { kind: 'bundle', project: this.#nameOf(owner.projectId) } as const
      const wish = { sodium, random, context, recipients: [keys.sealing[0].publicKey] }
      const { frames, finish } = sealDetached(wish, requireArchive(source))
      await this.#appendAll(row, frames)
      const sealed = finish()
      const { digest, size } = sealed
      const custody = JSON.stringify({ sealed })
      const next = await this.#change(owner, row.id, {
        change: (kept) => ({ ...kept, digest, size, custody, complete: true }),
        audit: { action: 'bundle.create' },
      })
      return await this.#view(next)
    } catch (error) {
      // What cannot be removed now is at the next start.
      await this.#remove(row).catch((second: unknown) =>
        this.#core.log.warn('bundle.remove_failed', { bundle: row.id, error: String(second) }),
      )
      throw error
    }
  }

  /** Removes up to `most` bundles and half uploads that nobody used for the retention; answers how many it found. */
  async removeUnused(most: number): Promise<number> {
    const at = this.#core.clock.now() - this.#core.settings.retentionMs
    const rows = await this.#core.store.read((tx) => tx.listUnused(at, most))
    for (const row of rows) {
      await this.#turn(row.projectId, row.digest ?? row.id, () => this.#removeIfUnused(row, { at, most }))
    }
    return rows.length
  }

  /** From the first commit on no job can name it; then its bytes go, and then its row, so that no bytes are left that no row names. */
  async #removeIfUnused(row: BundleRow, { at, most }: { readonly at: number; readonly most: number }): Promise<void> {
    const doomed = await this.#core.store.write(async (tx) => {
      const found = (await tx.listUnused(at, most)).find(({ id }) => id === row.id)
      if (found) await tx.updateBundle({ ...found, complete: false })
      return found
    })
    if (doomed) await this.#remove(doomed)
  }

  async #remove({ id }: BundleRow): Promise<void> {
    await this.#core.blobs.remove(id)
    await this.#core.store.write((tx) => tx.deleteBundle(id))
  }

  #find(projectId: ProjectId, digest: string): Promise<BundleRow | undefined> {
    return this.#core.store.read((tx) => tx.findBundle(projectId, digest))
  }

  async #insert({ projectId }: Owner, told: Pick<BundleRow, 'digest' | 'size'>): Promise<BundleRow> {
    const room = await this.#core.blobs.roomBytes()
    if (room <= 0 || room < told.size) throw new Refusal('disk_full', 'pond has no room for the bundle')
    const now = this.#core.clock.now()
    const id = `bdl_${this.#core.newId()}` as BundleId
    const row: BundleRow = { id, projectId, ...told, complete: false, createdAt: now, usedAt: now }
    await this.#core.store.write(async (tx) => {
      await checkQuota(tx, row)
      await tx.insertBundle(row)
    })
    return row
  }

  /** At the last byte: it is what its digest says, or nothing of it stays. */
  async #settle(owner: Owner, row: BundleRow): Promise<BundleRow> {
    const { blobs } = this.#core
    if ((await blobs.stat(framesOf(row))).committed < row.size) return row
    if ((await blobs.sha256(framesOf(row))) !== row.digest) {
      await this.#remove(row)
      throw new Refusal('digest_mismatch', 'the bytes that came do not have this digest', { committed: 0 })
    }
    return await this.#change(owner, row.id, {
      change: (kept) => ({ ...kept, complete: true }),
      audit: { action: 'bundle.upload' },
    })
  }

  async #change({ by }: Owner, id: BundleId, { change, audit }: Change): Promise<BundleRow> {
    return await this.#core.store.write(async (tx) => {
      const row = await tx.getBundle(id)
      if (!row) throw new Error(`bundle ${id} is gone`)
      const next = change({ ...row, usedAt: this.#core.clock.now() })
      await tx.updateBundle(next)
      await recordAudit(this.#core, tx, { by, target: `${next.projectId}/${next.digest}`, ...audit })
      return next
    })
  }

  async #append(row: BundleRow, offset: number, bytes: Uint8Array): Promise<void> {
    const { blobs, clock } = this.#core
    for (let from = 0; from < bytes.length; from += appendMost.bytes) {
      const part = bytes.subarray(from, from + appendMost.bytes)
      await blobs.append(framesOf(row), [{ offset: offset + from, at: clock.now(), order: 0, bytes: part }])
    }
  }

  /** Gathers frames into appends, each of which waits for the device once. */
  async #appendAll(row: BundleRow, frames: AsyncIterable<Buffer>): Promise<void> {
    const used = await this.#core.store.read((tx) => tx.sumBundles(row.projectId))
    const most = Math.min(limit.bundleBytes, limit.bundlesBytesMost - used.bytes)
    let offset = 0
    let held: Buffer[] = []
    let size = 0
    for await (const frame of frames) {
      if (size + frame.length - offset > appendMost.bytes) {
        await this.#append(row, offset, Buffer.concat(held))
        held = []
        offset = size
      }
      held.push(frame)
      size += frame.length
      if (size > most) throw new Refusal('body_too_large', `the bundle has more than ${most} bytes`, { most })
    }
    await this.#append(row, offset, Buffer.concat(held))
  }

  /** One call at a time for each bundle: appends must not overlap, and nothing is removed under one. */
  async #turn<T>(projectId: ProjectId, digest: string, work: () => Promise<T>): Promise<T> {
    const key = `${projectId} ${digest}`
    const mine = (this.#turns.get(key) ?? Promise.resolve()).then(work)
    const settled = mine.then(
      () => {},
      () => {},
    )
    this.#turns.set(key, settled)
    try {
      return await mine
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key)
    }
  }

  #nameOf(projectId: ProjectId): string {
    return this.#core.projects.get(projectId) ?? projectId
  }

  async #view(row: BundleRow): Promise<BundleView> {
    const committed = row.complete ? row.size : (await this.#core.blobs.stat(framesOf(row))).committed
    const { digest = '', size, complete, custody, signer } = row
    const by = signer === undefined ? 'pond' : 'client'
    return { digest, committed, size, complete, ...(custody === undefined ? {} : { custody: by, signer }) }
  }
}

interface Change {
  readonly change: (row: BundleRow) => BundleRow
  readonly audit: { readonly action: string; readonly note?: string }
}

function checkPiece({ offset, size }: { readonly offset: number; readonly size: number }, bytes: Uint8Array): void {
  if (bytes.length > limit.bodyBytes) {
    const details = { most: limit.bodyBytes, got: bytes.length }
    throw new Refusal('body_too_large', `a piece must not be longer than ${limit.bodyBytes} bytes`, details)
  }
  if (offset + bytes.length <= size) return
  throw new Refusal('invalid_field', 'the piece ends behind the size', { field: 'offset' })
}

/** Who says it first fixes it: a bundle that could grow would never be whole. */
function checkSize(row: BundleRow, size: number, field: string): void {
  if (row.size === size) return
  throw new Refusal('invalid_field', `${field} must be ${row.size}, as it was said first`, { field, size: row.size })
}

async function checkQuota(tx: WriteTx, { projectId, size }: BundleRow): Promise<void> {
  const { count, bytes } = await tx.sumBundles(projectId)
  const most = limit.bundlesBytesMost
  if (count < limit.bundlesPerProject && bytes + size <= most) return
  const details = { bundles: count, bytes, most }
  throw new Refusal('disk_full', 'the bundles of the project fill its share; unused ones go with time', details)
}

function gap(offset: number, committed: number): Refusal {
  return new Refusal('chunk_gap', `${committed} bytes are here, the piece starts at ${offset}`, { committed })
}
