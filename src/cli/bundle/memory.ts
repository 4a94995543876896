// What was sealed of which folder, for whom and with which key: an unchanged one is neither sealed nor sent again, and an upload that stopped goes on. One
// file each, for its owner alone.
import { hash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { custodyDetached } from '../../protocol/sealed.ts'
import { systemDisk } from '../../system/disk.ts'
import { placeOf, type SealTarget } from '../trust/custody.ts'

const sealedBundle = z.object({
  format: z.literal(1),
  /** Of the sealed frames. */
  digest: z.string(),
  size: z.int(),
  /** With the boxes for `recipients`. */
  custody: custodyDetached,
  /** X25519 keys, in their order. */
  recipients: z.array(z.string()),
  /** What the frames were sealed with: others get boxes of their own, and nothing is sent again. */
  key: z.string(),
  /** Name of the file with the frames, as long as pond does not have all of them. */
  draft: z.string().optional(),
})
export type SealedBundle = z.infer<typeof sealedBundle>

const DAY_MS = 24 * 60 * 60 * 1000
/** Longer than pond keeps what nobody uses, by default. */
const MEMORY_KEPT_MS = 90 * DAY_MS
/** A draft is as large as its folder. */
const DRAFT_KEPT_MS = 7 * DAY_MS
const DRAFT = '.frames'

export interface BundleMemory {
  /** A new file for frames, for nobody else to read. */
  makeDraft(name: string): Promise<FileHandle>
  draftPath(name: string): string
  /** Undefined when it was never sealed for this project, or what is known of it cannot be read. */
  recall(): Promise<SealedBundle | undefined>
  remember(known: Omit<SealedBundle, 'format'>): Promise<void>
  /** Also removes the frames. */
  forget(): Promise<void>
  removeDraft(name: string): Promise<void>
}

/** `packed` is the digest of the archive before it was sealed. */
export function openMemory(
  home: string,
  { url, packed, target }: { readonly url: string; readonly packed: string; readonly target: SealTarget },
): BundleMemory {
  const folder = join(home, 'bundles')
  const { project, signer } = placeOf(target)
  const about = JSON.stringify([url, project, signer ?? null, packed])
  const file = join(folder, `${hash('sha256', about, 'hex')}.json`)
  const memory: BundleMemory = {
    async makeDraft(name) {
      await systemDisk.makeFolder(folder)
      return await open(join(folder, name), 'wx', 0o600)
    },
    draftPath: (name) => join(folder, name),
    async recall() {
      const bytes = await systemDisk.read(file)
      return bytes ? parse(bytes) : undefined
    },
    async remember(known) {
      await systemDisk.makeFolder(folder)
      await systemDisk.replace(file, `${JSON.stringify({ format: 1, ...known })}\n`)
    },
    async forget() {
      const known = await memory.recall()
      await systemDisk.remove(file)
      if (known?.draft !== undefined) await memory.removeDraft(known.draft)
    },
    removeDraft: (name) => systemDisk.remove(join(folder, name)),
  }
  return memory
}

export const draftName = (word: string) => `${word}${DRAFT}`

/** Losing it costs one upload. */
function parse(bytes: Buffer): SealedBundle | undefined {
  try {
    return sealedBundle.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    return undefined
  }
}

/** Removes what nobody came back for. */
export async function sweepMemories(home: string, now: number): Promise<void> {
  const folder = join(home, 'bundles')
  for (const name of await systemDisk.list(folder)) {
    const path = join(folder, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    const keptMs = name.endsWith(DRAFT) ? DRAFT_KEPT_MS : MEMORY_KEPT_MS
    if (mtimeMs < now - keptMs) await systemDisk.remove(path)
  }
}
