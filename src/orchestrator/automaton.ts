// Finds all needles in bytes that come in pieces, in linear time. It knows neither what a needle means nor what becomes of a find.
import assert from 'node:assert'

/** Where a search stands between two pieces of its stream. */
export interface Cursor {
  node: number
}

export interface Automaton {
  /** Calls `found` for each place where a needle ends, in order, with the longest one that ends there; `end` counts from `bytes`. */
  scan(cursor: Cursor, bytes: Uint8Array, found: (end: number, length: number) => void): void
  /** The end of what was scanned that may still become a needle. It is memory of the automaton: copy it before it leaves. */
  undecided(cursor: Cursor): Buffer
  /** Table look-ups so far, by all searches: the work that tests bound, since a time would say little. */
  looks(): number
}

/** The whole window is judged by its first and its last few bytes; wider ones step further and meet more needles on the way. */
const WINDOW_MOST = 12
/** A step looks at this many bytes. Pairs are too common: with a hundred secrets nearly every pair of letters occurs in some needle. */
const BLOCK = 3
/** Below this depth a state remembers less than a fresh look at the window sees, so skipping goes on. */
const SHALLOW = 2

/** Needles as latin1 text, none shorter than three bytes. */
export function createAutomaton(needles: readonly string[]): Automaton {
  // In this order the first child of a node is the next node, and a needle shares most with the one before it.
  return new PrefixTree([...new Set(needles)].sort())
}

/**
 * Aho-Corasick: a node stands for a beginning of needles, namely the longest one that the bytes so far end with. Nodes are numbered in
 * the order of the sorted needles, so a chain needs no edges: node + 1 is the first child where it is one deeper. That is 21 bytes a
 * node; a table of 256 edges each would be a thousand.
 *
 * From the root a skip search after Wu and Manber looks for the next place where a needle can begin, a few bytes at a step.
 */
class PrefixTree implements Automaton {
  /** All needles behind each other. */
  readonly #text: Buffer
  readonly #depth: Int32Array
  /** Where in the text a needle stands that begins like this node. */
  readonly #from: Int32Array
  readonly #label: Uint8Array
  readonly #sibling: Int32Array
  readonly #fail: Int32Array
  /** Length of the longest needle that this node ends with, or 0. */
  readonly #longest: Int32Array
  readonly #roots = new Int32Array(256)
  readonly #window: number
  /** By block: how far the window can move when it ends with this block. */
  readonly #shift = new Uint8Array(1 << 16)
  /** By block: 1 when a needle begins with it. */
  readonly #head = new Uint8Array(1 << 16)
  #looks = 0

  constructor(needles: readonly string[]) {
    this.#window = needles.reduce((least, { length }) => Math.min(least, length), WINDOW_MOST)
    assert(this.#window >= BLOCK, 'a needle is at least as long as a block')
    this.#text = Buffer.from(needles.join(''), 'latin1')
    const size = needles.reduce((sum, needle, index) => sum + needle.length - shared(needles, index), 1)
    this.#depth = new Int32Array(size + 1)
    this.#from = new Int32Array(size)
    this.#label = new Uint8Array(size)
    this.#sibling = new Int32Array(size)
    this.#fail = new Int32Array(size)
    this.#longest = new Int32Array(size)
    this.#link(this.#plant(needles))
    this.#fillSkips(needles)
  }

  /** Makes the nodes; answers the parent of each. */
  #plant(needles: readonly string[]): Int32Array {
    const parents = new Int32Array(this.#label.length)
    /** The nodes of the needle before, by depth. */
    const path: number[] = [0]
    let node = 0
    let from = 0
    for (const [index, needle] of needles.entries()) {
      const fork = shared(needles, index)
      for (let depth = fork + 1; depth <= needle.length; depth++) {
        node++
        parents[node] = path[depth - 1] as number
        this.#depth[node] = depth
        this.#from[node] = from
        this.#label[node] = this.#text[from + depth - 1] as number
        const elder = path[depth]
        if (depth === fork + 1 && elder !== undefined) this.#sibling[elder] = node
        path[depth] = node
      }
      path.length = needle.length + 1
      this.#longest[node] = needle.length
      from += needle.length
    }
    for (let child = 1; child !== 0 && child < parents.length; child = this.#sibling[child] as number) {
      this.#roots[this.#label[child] as number] = child
    }
    return parents
  }

  /** Shallow nodes first, as each leans on a shallower one. */
  #link(parents: Int32Array): void {
    for (const node of byDepth(this.#depth.subarray(0, parents.length))) {
      if (node === 0) continue
      const parent = parents[node] as number
      const fail = parent === 0 ? 0 : this.#step(this.#fail[parent] as number, this.#label[node] as number)
      this.#fail[node] = fail
      this.#longest[node] ||= this.#longest[fail] as number
    }
  }

  #fillSkips(needles: readonly string[]): void {
    this.#shift.fill(this.#window - BLOCK + 1)
    let from = 0
    for (const needle of needles) {
      this.#head[blockAt(this.#text, from)] = 1
      for (let at = 0; at + BLOCK <= this.#window; at++) {
        const block = blockAt(this.#text, from + at)
        this.#shift[block] = Math.min(this.#shift[block] as number, this.#window - BLOCK - at)
      }
      from += needle.length
    }
  }

  #step(node: number, byte: number): number {
    for (let at = node; at !== 0; at = this.#fail[at] as number) {
      const child = at + 1
      if (this.#depth[child] !== (this.#depth[at] as number) + 1) continue
      for (let one = child; one !== 0; one = this.#sibling[one] as number) {
        this.#looks++
        if (this.#label[one] === byte) return one
      }
    }
    this.#looks++
    return this.#roots[byte] as number
  }

  scan(cursor: Cursor, bytes: Uint8Array, found: (end: number, length: number) => void): void {
    const lastWindow = bytes.length - this.#window
    let node = cursor.node
    /** Skipping begins again only behind this place: no byte is read more than a few times. */
    let skipped = -1
    for (let at = 0; at < bytes.length; ) {
      if (node === 0 && at <= lastWindow) {
        at = this.#skip(bytes, at, lastWindow)
        skipped = at
      }
      node = this.#step(node, bytes[at++] as number)
      const length = this.#longest[node] as number
      if (length > 0) found(at, length)
      const depth = this.#depth[node] as number
      if (depth <= SHALLOW && at - depth > skipped && at - depth <= lastWindow) {
        at -= depth
        node = 0
      }
    }
    cursor.node = node
  }

  /** The next place where a needle can begin, or the first whose window is not all here. */
  #skip(bytes: Uint8Array, from: number, lastWindow: number): number {
    const lastBlock = this.#window - BLOCK
    let at = from
    let looks = 0
    while (at <= lastWindow) {
      looks++
      const shift = this.#shift[blockAt(bytes, at + lastBlock)] as number
      if (shift === 0 && this.#head[blockAt(bytes, at)] === 1) break
      at += shift || 1
    }
    this.#looks += looks
    return at
  }

  undecided({ node }: Cursor): Buffer {
    const from = this.#from[node] as number
    return this.#text.subarray(from, from + (this.#depth[node] as number))
  }

  looks(): number {
    return this.#looks
  }
}

/** How many bytes a needle begins with that the one before it begins with too. */
function shared(needles: readonly string[], index: number): number {
  const [before = '', needle = ''] = [needles[index - 1], needles[index]]
  let length = 0
  while (length < before.length && before.charCodeAt(length) === needle.charCodeAt(length)) length++
  return length
}

/** Three bytes as one of 65,536; two blocks that fall together only make a step shorter. */
function blockAt(bytes: Uint8Array, at: number): number {
  return (((bytes[at] as number) << 9) ^ ((bytes[at + 1] as number) << 4) ^ (bytes[at + 2] as number)) & 0xffff
}

/** All nodes, shallow ones first. */
function byDepth(depths: Int32Array): Int32Array {
  const starts = new Int32Array(depths.reduce((most, depth) => Math.max(most, depth), 0) + 2)
  for (const depth of depths) starts[depth + 1] = (starts[depth + 1] as number) + 1
  for (let depth = 1; depth < starts.length; depth++) {
    starts[depth] = (starts[depth] as number) + (starts[depth - 1] as number)
  }
  const order = new Int32Array(depths.length)
  for (const [node, depth] of depths.entries()) {
    const place = starts[depth] as number
    order[place] = node
    starts[depth] = place + 1
  }
  return order
}
