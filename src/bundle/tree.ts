// The tree that an archive would make, in memory: every rule about names, links and amounts is asked here, of packing and unpacking alike.
import { BundleError } from './error.ts'
import type { BundleLimits } from './limit.ts'
import { foldStep, splitName, splitTarget } from './name.ts'

export interface Folder {
  readonly kind: 'folder'
  readonly name: string
  readonly parent: Folder | undefined
  /** By folded name, so that what differs by case or form only meets here. */
  readonly children: Map<string, Place>
  /** False as long as it is only part of other names. */
  stated: boolean
}

export interface File {
  readonly kind: 'file'
  readonly name: string
  readonly parent: Folder
}

export interface Link {
  readonly kind: 'link'
  readonly name: string
  readonly parent: Folder
  readonly target: string
}

export type Place = Folder | File | Link

/** An entry of an archive, as far as the tree wants to know it. A hard link names an earlier file of the archive. */
export type Entry =
  | { readonly kind: 'folder'; readonly name: string }
  | { readonly kind: 'file'; readonly name: string; readonly size: number }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string }
  | { readonly kind: 'hardlink'; readonly name: string; readonly target: string }

/** Where a link ends: `below` steps under a place, counted and not known, when it leads to nothing in the archive. */
interface End {
  readonly at: Folder | File
  readonly below: number
  readonly hops: number
}

export class Tree {
  readonly root: Folder = { kind: 'folder', name: '', parent: undefined, children: new Map(), stated: false }
  readonly #limits: BundleLimits
  readonly #links: Link[] = []
  readonly #ends = new Map<Link, End>()
  #entries = 0
  #files = 0
  #bytes = 0

  constructor(limits: BundleLimits) {
    this.#limits = limits
  }

  /** Files, hard links included. */
  get files(): number {
    return this.#files
  }

  /** Content of all files. */
  get bytes(): number {
    return this.#bytes
  }

  /** Puts an entry in its place and returns what is new for it: missing folders from the top down, then the entry itself. */
  add(entry: Entry): readonly Place[] {
    const steps = splitName(entry.name, entry.kind === 'folder', this.#limits)
    const fresh: Place[] = []
    let parent = this.root
    for (const step of steps.slice(0, -1)) {
      const found = childOf(parent, step, entry.name)
      if (found && found.kind !== 'folder') throw new BundleError('not_a_folder', entry.name)
      parent = found ?? this.#put(folderIn(parent, step), fresh)
    }
    const last = steps.at(-1)
    if (entry.kind === 'folder') this.#state(entry.name, last === undefined ? undefined : { parent, last }, fresh)
    else if (last !== undefined) this.#addLeaf(entry, { parent, last }, fresh)
    return fresh
  }

  /** The file that a hard link names. */
  fileAt(target: string, link: string): File {
    let at: Place | undefined = this.root
    for (const step of splitName(target, false, this.#limits)) {
      at = at?.kind === 'folder' ? childOf(at, step, link) : undefined
    }
    if (at?.kind !== 'file') throw new BundleError('bad_link', link)
    return at
  }

  /** To be asked when the archive is read whole: where a link leads depends on what came after it. */
  checkLinks(): void {
    for (const link of this.#links) this.#follow(link, 1)
  }

  #state(name: string, at: { readonly parent: Folder; readonly last: string } | undefined, fresh: Place[]): void {
    const found = at ? childOf(at.parent, at.last, name) : this.root
    if (found && found.kind !== 'folder') throw new BundleError('duplicate', name)
    if (found?.stated) throw new BundleError('duplicate', name)
    const folder = found ?? (at && this.#put(folderIn(at.parent, at.last), fresh))
    if (folder) folder.stated = true
  }

  #addLeaf(
    entry: Exclude<Entry, { kind: 'folder' }>,
    { parent, last }: { readonly parent: Folder; readonly last: string },
    fresh: Place[],
  ): void {
    if (childOf(parent, last, entry.name)) throw new BundleError('duplicate', entry.name)
    if (entry.kind === 'symlink') {
      const link: Link = { kind: 'link', name: last, parent, target: entry.target }
      splitTarget(entry.target, entry.name, this.#limits)
      this.#links.push(this.#put(link, fresh))
      return
    }
    if (entry.kind === 'hardlink') this.fileAt(entry.target, entry.name)
    const size = entry.kind === 'file' ? entry.size : 0
    if (size > this.#limits.fileBytes) throw new BundleError('file_too_large', entry.name)
    this.#bytes += size
    if (this.#bytes > this.#limits.totalBytes) throw new BundleError('too_large', entry.name)
    this.#put({ kind: 'file', name: last, parent }, fresh)
    this.#files++
  }

  #put<P extends Place>(place: P, fresh: Place[]): P {
    this.#entries++
    if (this.#entries > this.#limits.entries) throw new BundleError('too_many_entries', pathOf(place))
    place.parent?.children.set(foldStep(place.name), place)
    fresh.push(place)
    return place
  }

  /** Walks like the kernel does: `..` is taken from where the links before it led, not from how they are written. */
  #follow(link: Link, depth: number): End {
    const known = this.#ends.get(link)
    if (known) return known
    const name = pathOf(link)
    let end: End = { at: link.parent, below: 0, hops: depth > this.#limits.linkHops ? Number.POSITIVE_INFINITY : 1 }
    for (const step of splitTarget(link.target, name, this.#limits)) {
      if (end.hops > this.#limits.linkHops) break
      end = step === '..' ? up(end, name) : this.#down(end, step, { name, depth })
    }
    if (end.hops > this.#limits.linkHops) throw new BundleError('link_loop', name)
    this.#ends.set(link, end)
    return end
  }

  #down(end: End, step: string, from: { readonly name: string; readonly depth: number }): End {
    const { at, below, hops } = end
    const child = below === 0 && at.kind === 'folder' ? childOf(at, step, from.name) : undefined
    if (!child) return { at, below: below + 1, hops }
    if (child.kind !== 'link') return { at: child, below: 0, hops }
    const next = this.#follow(child, from.depth + 1)
    return { ...next, hops: hops + next.hops }
  }
}

/** The name within the archive. */
export function pathOf(place: Place): string {
  const steps: string[] = []
  for (let at: Place | undefined = place; at?.parent; at = at.parent) steps.push(at.name)
  return steps.reverse().join('/')
}

function folderIn(parent: Folder, name: string): Folder {
  return { kind: 'folder', name, parent, children: new Map(), stated: false }
}

function childOf(folder: Folder, step: string, name: string): Place | undefined {
  const child = folder.children.get(foldStep(step))
  if (child && child.name !== step) throw new BundleError('name_clash', name)
  return child
}

function up({ at, below, hops }: End, name: string): End {
  if (below > 0) return { at, below: below - 1, hops }
  if (!at.parent) throw new BundleError('link_escapes', name)
  return { at: at.parent, below, hops }
}
