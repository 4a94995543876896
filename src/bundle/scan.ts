// What will be in a bundle, looked at before the first byte of it is made: names in order, sizes, and how to notice a change later.
import { type BigIntStats, constants, type Dirent } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BundleError } from './error.ts'
import { IGNORE_BYTES_MOST, IGNORE_FILE, type Ignores, parseIgnore } from './ignore.ts'
import type { BundleLimits } from './limit.ts'
import { Tree } from './tree.ts'

export type Found =
  | { readonly kind: 'folder'; readonly name: string }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string }
  | {
      readonly kind: 'file'
      readonly name: string
      readonly size: number
      readonly executable: boolean
      readonly trace: string
    }

export interface Scan {
  /** In byte order of the names, folders taken with the `/` behind them: on every machine the same. */
  readonly found: readonly Found[]
  readonly files: number
  readonly bytes: number
}

const OWNER_EXECUTES = 0o100n

/** Differs once a file was written to, replaced or given other rights. The times of reading are not in it. */
export function traceOf({ dev, ino, size, mode, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mode, mtimeNs, ctimeNs].join(' ')
}

export async function scan(folder: string, limits: BundleLimits): Promise<Scan> {
  const tree = new Tree(limits)
  const found: Found[] = []
  const ignores = await readIgnore(folder)
  await scanFolder('', { folder, tree, found, ignores, limits })
  tree.checkLinks()
  return { found, files: tree.files, bytes: tree.bytes }
}

interface Walk {
  readonly folder: string
  readonly tree: Tree
  readonly found: Found[]
  readonly ignores: Ignores
  readonly limits: BundleLimits
}

/** `prefix` is the folder's name with a `/` behind it, or nothing for the top. */
async function scanFolder(prefix: string, walk: Walk): Promise<void> {
  const listed = await readdir(Buffer.from(join(walk.folder, prefix)), { withFileTypes: true, encoding: 'buffer' })
  if (listed.length > walk.limits.entries) throw new BundleError('too_many_entries', prefix)
  const children = listed
    .map((child) => ({ child, name: prefix + decode(child.name, prefix) }))
    .filter(({ child, name }) => !walk.ignores(name, child.isDirectory()))
    .map(({ child, name }) => ({ child, name, key: Buffer.from(child.isDirectory() ? `${name}/` : name) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  for (const { child, name } of children) {
    const entry = await look(child, name, walk)
    walk.tree.add(entry)
    walk.found.push(entry)
    if (entry.kind === 'folder') await scanFolder(`${name}/`, walk)
  }
}

async function look(child: Dirent<Buffer>, name: string, { folder }: Walk): Promise<Found> {
  const path = join(folder, name)
  if (child.isDirectory()) return { kind: 'folder', name }
  if (child.isSymbolicLink()) {
    return { kind: 'symlink', name, target: decode(await readlink(path, { encoding: 'buffer' }), name) }
  }
  if (!child.isFile()) throw new BundleError('special_file', name)
  const stats = await lstat(path, { bigint: true })
  if (!stats.isFile()) throw new BundleError('changed', name)
  return {
    kind: 'file',
    name,
    size: Number(stats.size),
    executable: (stats.mode & OWNER_EXECUTES) !== 0n,
    trace: traceOf(stats),
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A name that is no UTF-8 cannot be told to a machine that has only such names. */
function decode(bytes: Uint8Array, where: string): string {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw new BundleError('bad_name', where + Buffer.from(bytes).toString('latin1'), { cause: error })
  }
}

async function readIgnore(folder: string): Promise<Ignores> {
  const file = await open(join(folder, IGNORE_FILE), constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    },
  )
  if (!file) return parseIgnore('')
  try {
    const stats = await file.stat()
    if (!stats.isFile() || stats.size > IGNORE_BYTES_MOST) throw new BundleError('bad_ignore', IGNORE_FILE)
    return parseIgnore(await file.readFile('utf8'))
  } finally {
    await file.close()
  }
}
