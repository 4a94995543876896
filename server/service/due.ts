// Ids that fall due at a time, earliest first: a binary heap with one timer for its top.
import type { Cancel, Clock } from '../../src/system/clock.ts'

interface Entry<T> {
  readonly at: number
  readonly value: T
}

/** Entries are not removed when they lose their meaning; whoever is told looks at the facts again. */
export class DueList<T> {
  readonly #heap: Entry<T>[] = []
  readonly #clock: Clock
  readonly #onDue: (values: readonly T[]) => void
  #cancel: Cancel = () => {}
  #armedFor = Number.POSITIVE_INFINITY
  #closed = false

  constructor(clock: Clock, onDue: (values: readonly T[]) => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  add(at: number, value: T): void {
    if (this.#closed) return
    this.#heap.push({ at, value })
    this.#rise(this.#heap.length - 1)
    this.#arm()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
    this.#heap.length = 0
  }

  #arm(): void {
    const top = this.#heap[0]
    if (!top || top.at >= this.#armedFor) return
    this.#cancel()
    this.#armedFor = top.at
    this.#cancel = this.#clock.after(Math.max(0, top.at - this.#clock.now()), () => this.#ring())
  }

  #ring(): void {
    this.#armedFor = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    const due: T[] = []
    for (let top = this.#heap[0]; top && top.at <= now; top = this.#heap[0]) {
      due.push(top.value)
      this.#pop()
    }
    this.#arm()
    if (due.length > 0) this.#onDue(due)
  }

  #pop(): void {
    const last = this.#heap.pop()
    if (last && this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink(0)
    }
  }

  #rise(index: number): void {
    for (let at = index; at > 0; ) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfEarlier(at, parent)) return
      at = parent
    }
  }

  #sink(index: number): void {
    for (let at = index; ; ) {
      const left = 2 * at + 1
      const child = this.#earlier(left + 1, left) ? left + 1 : left
      if (!this.#swapIfEarlier(child, at)) return
      at = child
    }
  }

  #earlier(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]]
    return a !== undefined && b !== undefined && a.at < b.at
  }

  #swapIfEarlier(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]]
    if (!a || !b || a.at >= b.at) return false
    this.#heap[one] = b
    this.#heap[other] = a
    return true
  }
}
