// Timers in the order in which they are due; of two at the same moment the one that was set first. Fires none.

export interface Timer {
  readonly due: number
  readonly run: () => void
  readonly order: number
  cancelled: boolean
}

/** A binary heap: a simulated world sets thousands of timers and cancels most of them, so a cancelled one stays until it comes up. */
export class TimerHeap {
  readonly #timers: Timer[] = []
  #count = 0
  #orders = 0

  /** Timers that are set. */
  get size(): number {
    return this.#count
  }

  add(due: number, run: () => void): Timer {
    const timer = { due, run, order: this.#orders++, cancelled: false }
    this.#count++
    this.#timers.push(timer)
    this.#rise(this.#timers.length - 1)
    return timer
  }

  cancel(timer: Timer): void {
    if (timer.cancelled) return
    timer.cancelled = true
    this.#count--
  }

  /** The earliest, if it is due by `end`; it is set no longer. */
  take(end: number): Timer | undefined {
    for (let first = this.#timers[0]; first; first = this.#timers[0]) {
      if (!first.cancelled && first.due > end) return undefined
      this.#removeFirst()
      if (first.cancelled) continue
      this.cancel(first)
      return first
    }
    return undefined
  }

  #removeFirst(): void {
    const last = this.#timers.pop()
    if (last === undefined || this.#timers.length === 0) return
    this.#timers[0] = last
    this.#sink()
  }

  #rise(from: number): void {
    for (let index = from; index > 0; ) {
      const parent = (index - 1) >> 1
      if (!this.#swapped(parent, index)) return
      index = parent
    }
  }

  #sink(): void {
    for (let index = 0; ; ) {
      const left = 2 * index + 1
      const least = isBefore(this.#timers[left + 1], this.#timers[left]) ? left + 1 : left
      if (!this.#swapped(index, least)) return
      index = least
    }
  }

  /** True when they stood the wrong way round. */
  #swapped(upper: number, lower: number): boolean {
    const [up, low] = [this.#timers[upper], this.#timers[lower]]
    if (!up || !low || !isBefore(low, up)) return false
    this.#timers[upper] = low
    this.#timers[lower] = up
    return true
  }
}

function isBefore(one: Timer | undefined, other: Timer | undefined): boolean {
  if (!one || !other) return false
  return one.due < other.due || (one.due === other.due && one.order < other.order)
}
