// Takes secret values out of what a job says before it leaves the worker: streams, messages, JSON, and a look at what is not rewritten.
// What is searched for is listed in needle.ts.
import { limit } from '../protocol/limit.ts'
import { type Automaton, type Cursor, createAutomaton } from './automaton.ts'
import { listNeedles, type Secret } from './needle.ts'

/** Stands for every run of bytes that belong to a needle. */
export const MARK = '[redacted]'

/**
 * All secrets of one job. Bytes that belong to any occurrence of any needle, overlapping ones included, are covered; each longest run
 * of covered bytes becomes one mark, and all other bytes stay as they are. Redact before you cut: half a secret is not found.
 */
export interface Redaction {
  /** Which secrets are too short to be searched, as places in their list: tell the owner. */
  readonly unsearched: readonly number[]
  /** One a stream. Redact nothing twice: a secret that is part of the mark would be found in it. */
  redactor(): Redactor
  text(text: string): string
  /** Keys and values of plain JSON data. What nothing was taken out of is the same object. */
  json(value: unknown): unknown
  /** What is still JSON afterwards, and to the byte the same where nothing was taken out. */
  jsonText(text: string): string
  scanner(): Scanner
}

export interface Redactor {
  /** What can go now, often the same buffer. It may be empty: the end of what was pushed may become a needle and is held until that is decided. */
  push(bytes: Buffer): Buffer
  /** Bytes that came and are not decided: fewer than the longest needle has. Wait for more; only the end of the stream may flush. */
  held(): number
  /** The stream ends: what is held is no needle any more. */
  flush(): Buffer
  /** Marks written so far. */
  hits(): number
}

/** For what is withheld and never rewritten. */
export interface Scanner {
  /** True as soon as any needle was seen whole, and ever after. */
  push(bytes: Uint8Array): boolean
}

export function createRedaction(secrets: readonly Secret[]): Redaction {
  const { needles, unsearched } = listNeedles(secrets)
  return needles.length === 0 ? { ...nothing, unsearched } : new NeedleRedaction(createAutomaton(needles), unsearched)
}

const empty = Buffer.alloc(0)

/** Who has no secrets pays nothing. */
const nothing: Omit<Redaction, 'unsearched'> = {
  redactor: () => ({ push: (bytes) => bytes, held: () => 0, flush: () => empty, hits: () => 0 }),
  text: (text) => text,
  json: (value) => value,
  jsonText: (text) => text,
  scanner: () => ({ push: () => false }),
}

class NeedleRedaction implements Redaction {
  readonly unsearched: readonly number[]
  readonly #automaton: Automaton

  constructor(automaton: Automaton, unsearched: readonly number[]) {
    this.#automaton = automaton
    this.unsearched = unsearched
  }

  redactor(): Redactor {
    return new StreamRedactor(this.#automaton)
  }

  text(text: string): string {
    const redactor = this.redactor()
    const clean = Buffer.concat([redactor.push(Buffer.from(text)), redactor.flush()])
    return redactor.hits() > 0 ? clean.toString() : text
  }

  json(value: unknown): unknown {
    const clean = this.#walk(value, 0)
    // A needle may span keys, values and what stands between them, as a line of a secret JSON file does.
    return this.#occursIn(JSON.stringify(clean) ?? '') ? MARK : clean
  }

  jsonText(text: string): string {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return this.text(text)
    }
    const clean = this.json(value)
    if (clean !== value) return JSON.stringify(clean)
    return this.#occursIn(text) ? JSON.stringify(MARK) : text
  }

  scanner(): Scanner {
    const cursor: Cursor = { node: 0 }
    let seen = false
    return {
      push: (bytes) => {
        if (!seen) this.#automaton.scan(cursor, bytes, () => (seen = true))
        return seen
      },
    }
  }

  #occursIn(text: string): boolean {
    return this.scanner().push(Buffer.from(text))
  }

  #walk(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.text(value)
    if (typeof value === 'number') return this.#occursIn(String(value)) ? MARK : value
    if (typeof value !== 'object' || value === null) return value
    // So deep nothing is worth the stack that a look at it costs.
    if (depth === limit.eventDepth) return MARK
    if (Array.isArray(value)) {
      const items = value.map((item) => this.#walk(item, depth + 1))
      return items.every((item, index) => item === value[index]) ? value : items
    }
    const entries = Object.entries(value)
    const clean = entries.map(([key, item]) => [this.text(key), this.#walk(item, depth + 1)] as const)
    const same = clean.every(([key, item], index) => key === entries[index]?.[0] && item === entries[index]?.[1])
    // Keys that are the same mark now leave the last of them.
    return same ? value : Object.fromEntries(clean)
  }
}

/** Positions count from the first byte of the stream. */
interface Run {
  readonly start: number
  readonly end: number
}

/**
 * What is held is not stored: it is what the automaton's state stands for. A byte before that can belong to no needle that is still to
 * come, so it is decided; so is a run that begins before it or with it, since later needles can only move its end.
 */
class StreamRedactor implements Redactor {
  readonly #automaton: Automaton
  readonly #cursor: Cursor = { node: 0 }
  /** Bytes that came. */
  #came = 0
  /** Covered runs in order, none touching the next. */
  #runs: Run[] = []
  /** How many of them, from the front, have their mark. */
  #marked = 0
  /** The end of the last marked run. A run that begins there or before goes on with it. */
  #covered = -1
  #hits = 0

  constructor(automaton: Automaton) {
    this.#automaton = automaton
  }

  push(bytes: Buffer): Buffer {
    const before = this.#automaton.undecided(this.#cursor)
    const came = this.#came
    this.#automaton.scan(this.#cursor, bytes, (end, length) => this.#cover(came + end - length, came + end))
    this.#came += bytes.length
    const undecided = this.#automaton.undecided(this.#cursor).length
    const untouched = before.length === 0 && undecided === 0 && this.#runs.length === this.#marked
    return untouched ? bytes : this.#release(before, bytes, this.#came - undecided)
  }

  flush(): Buffer {
    const rest = this.#release(this.#automaton.undecided(this.#cursor), Buffer.alloc(0), this.#came)
    this.#cursor.node = 0
    return rest
  }

  held(): number {
    return Math.min(this.#automaton.undecided(this.#cursor).length, this.#came - this.#covered)
  }

  hits(): number {
    return this.#hits
  }

  /** Ends come in order, so a run touches only the last ones, and each is taken away once. */
  #cover(from: number, end: number): void {
    let start = from
    while (this.#runs.length > this.#marked) {
      const last = this.#runs.at(-1)
      if (!last || last.end < start) break
      start = Math.min(start, last.start)
      this.#runs.pop()
    }
    this.#runs.push({ start, end })
  }

  /** Answers what became decided of the bytes held before and those that came now. */
  #release(before: Buffer, bytes: Buffer, decided: number): Buffer {
    const pieces: Buffer[] = []
    const border = this.#came - bytes.length
    const keep = (from: number, to: number) => {
      const old = before.subarray(Math.max(0, from - border + before.length), Math.max(0, to - border + before.length))
      // A copy, since the automaton's memory does not leave.
      if (old.length > 0) pieces.push(Buffer.from(old))
      const fresh = bytes.subarray(Math.max(0, from - border), Math.max(0, to - border))
      if (fresh.length > 0) pieces.push(fresh)
    }
    let next = Math.max(border - before.length, this.#covered)
    for (let run = this.#runs[this.#marked]; run && run.start <= decided; run = this.#runs[++this.#marked]) {
      if (run.start > this.#covered) {
        keep(next, run.start)
        pieces.push(Buffer.from(MARK))
        this.#hits++
      }
      next = run.end
      this.#covered = run.end
    }
    keep(next, decided)
    // Not at every turn: many runs may wait inside one long needle that is not decided.
    if (this.#marked * 2 > this.#runs.length) {
      this.#runs = this.#runs.slice(this.#marked)
      this.#marked = 0
    }
    const [only] = pieces
    return only && pieces.length === 1 ? only : Buffer.concat(pieces)
  }
}
