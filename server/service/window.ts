// The last while of a flow of events in memory of constant size: counts are exact, and durations are kept in bins that are narrow where they are short.

/** A window moves on by such a part of itself. */
const PARTS = 60
/** Each power of two of milliseconds has so many bins, so what is read from one is at most a 32nd off. */
const BINS_OF_TWO = 16
const BIN_BITS = Math.log2(BINS_OF_TWO)
/** About 70 years; what takes longer counts as that. */
const LONGEST_MS = 2 ** 41 - 1
export const BINS = binOf(LONGEST_MS) + 1

/** Columns of counts, each kept apart by the part of the window in which its events fell. */
export class Window {
  readonly windowMs: number
  readonly #columns: number
  readonly #partMs: number
  /** Which part a row of the cells was last used for: a row of an older one is empty. */
  readonly #partOf = new Float64Array(PARTS).fill(-1)
  readonly #cells: Uint32Array

  constructor(windowMs: number, columns: number) {
    this.windowMs = windowMs
    this.#columns = columns
    this.#partMs = windowMs / PARTS
    this.#cells = new Uint32Array(PARTS * columns)
  }

  /** `at` never runs backwards. */
  add(at: number, column: number, count: number): void {
    const part = Math.floor(at / this.#partMs)
    const row = part % PARTS
    const start = row * this.#columns
    if (this.#partOf[row] !== part) {
      this.#cells.fill(0, start, start + this.#columns)
      this.#partOf[row] = part
    }
    this.#cells[start + column] = (this.#cells[start + column] ?? 0) + count
  }

  /** The sum of each column since `from`: `windowMs` ago, or later by less than a part. */
  sum(at: number): { readonly from: number; readonly sums: Float64Array } {
    const first = Math.floor(at / this.#partMs) - PARTS + 1
    const sums = new Float64Array(this.#columns)
    for (const [row, part] of this.#partOf.entries()) {
      if (part < first) continue
      const start = row * this.#columns
      for (let column = 0; column < this.#columns; column++) {
        sums[column] = (sums[column] ?? 0) + (this.#cells[start + column] ?? 0)
      }
    }
    return { from: first * this.#partMs, sums }
  }
}

/** The bin of a duration: up to 31 ms each has its own, above them a bin is a 16th of its power of two. */
export function binOf(ms: number): number {
  const whole = Math.min(Math.floor(ms), LONGEST_MS)
  if (whole < BINS_OF_TWO) return whole
  const power = (whole < 2 ** 32 ? 31 - Math.clz32(whole) : 63 - Math.clz32(whole / 2 ** 32)) - BIN_BITS
  return power * BINS_OF_TWO + Math.floor(whole / 2 ** power)
}

/** The middle of a bin. */
export function midOf(bin: number): number {
  if (bin < 2 * BINS_OF_TWO) return bin
  const power = Math.floor(bin / BINS_OF_TWO) - 1
  const width = 2 ** power
  return (bin - power * BINS_OF_TWO) * width + (width / 2 - 1)
}

/** By nearest rank; undefined where nothing was counted. */
export function spreadOf(bins: Float64Array) {
  const count = bins.reduce((sum, one) => sum + one, 0)
  return count === 0
    ? undefined
    : { count, p50: at(bins, 0.5 * count), p95: at(bins, 0.95 * count), p99: at(bins, 0.99 * count) }
}

function at(bins: Float64Array, rank: number): number {
  let passed = 0
  return midOf(
    bins.findIndex((count) => {
      passed += count
      return passed >= rank
    }),
  )
}
