// An archive becomes a fresh folder, or nothing: on any refusal or error what was made is removed again. Rules about names are in tree.ts.
import { constants } from 'node:fs'
import { link, mkdir, open, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cursor } from './cursor.ts'
import { plainOf } from './gzip.ts'
import { type BundleLimits, bundleLimits } from './limit.ts'
import { type ReadEntry, Reader } from './reader.ts'
import { type Place, pathOf, Tree } from './tree.ts'

export interface UnpackOptions {
  readonly limits?: Partial<BundleLimits>
  readonly signal?: AbortSignal
}

export interface Unpacked {
  /** Regular files, hard links included. */
  readonly files: number
  /** Their content. */
  readonly bytes: number
}

/** Only its owner looks into what is half done; who hands it on to another user opens it. */
const TOP_MODE = 0o700
/** The umask takes from these. */
const FOLDER_MODE = 0o755
const FILE_MODE = 0o644
const PROGRAM_MODE = 0o755

/**
 * Unpacks a .tar or .tar.gz into `folder`, which must not exist while its parent must. Rejects with BundleError when the archive is
 * refused, and with the error itself when the disk, the source or the signal ends it; the folder is then gone.
 */
export async function unpack(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  { limits, signal }: UnpackOptions = {},
): Promise<Unpacked> {
  await mkdir(folder, { mode: TOP_MODE })
  const raw = new Cursor(source, signal)
  try {
    return await fill(raw, folder, { ...bundleLimits, ...limits })
  } catch (error) {
    await raw.close().catch(() => {})
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {})
    throw error
  }
}

interface LateLink {
  readonly place: Place
  readonly kind: 'hardlink' | 'symlink'
  readonly target: string
}

/** Links are made last: as long as files are written there is no link in the tree that could lead a write astray. */
async function fill(raw: Cursor, folder: string, limits: BundleLimits): Promise<Unpacked> {
  const plain = await plainOf(raw)
  const reader = new Reader(plain, limits)
  const tree = new Tree(limits)
  const late: LateLink[] = []
  try {
    for (let entry = await reader.next(); entry; entry = await reader.next()) {
      const link = await make(entry, { tree, reader, folder })
      if (link) late.push(link)
    }
  } finally {
    if (plain !== raw) await plain.close()
  }
  tree.checkLinks()
  for (const { kind, place, target } of late) {
    if (kind === 'hardlink')
      await link(join(folder, pathOf(tree.fileAt(target, pathOf(place)))), join(folder, pathOf(place)))
  }
  for (const { kind, place, target } of late) {
    if (kind === 'symlink') await symlink(target, join(folder, pathOf(place)))
  }
  return { files: tree.files, bytes: tree.bytes }
}

interface Site {
  readonly tree: Tree
  readonly reader: Reader
  readonly folder: string
}

/** Makes an entry and the folders it needs, or returns the link to be made later. */
async function make(entry: ReadEntry, { tree, reader, folder }: Site): Promise<LateLink | undefined> {
  const fresh = tree.add(entry)
  for (const place of fresh) {
    if (place.kind === 'folder') await mkdir(join(folder, pathOf(place)), { mode: FOLDER_MODE })
  }
  const place = fresh.at(-1)
  if (!place || entry.kind === 'folder') return undefined
  if (entry.kind !== 'file') return { place, kind: entry.kind, target: entry.target }
  const mode = entry.executable ? PROGRAM_MODE : FILE_MODE
  const file = await open(join(folder, pathOf(place)), NEW_FILE, mode)
  try {
    await writeFile(file, reader.content())
  } finally {
    await file.close()
  }
  return undefined
}

/** Never an existing file, never through a link. */
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
