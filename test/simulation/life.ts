// One life of a simulated process: through it the process touches the world, and once it is dead it neither does anything nor learns anything.
import { type Cancel, type Clock, sleep } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'

export interface Life {
  readonly clock: Clock
  alive(): boolean
  die(): void
  /** Resolves when it dies. */
  readonly over: Promise<undefined>
  /** The thing as this life sees it. Each call of it is a moment at which `fuse` may burn down, except of `size`, which touches nothing. */
  mortal<T extends object>(thing: T): T
  /** Stops for so long, as a process does that is suspended: it does nothing, hears nothing, and does not know. */
  stall(forMs: number): void
  /** Resolves when it is awake. */
  awake(): Promise<void> | undefined
  /** Dies at the so many-th call from now: before it is made, or after it was made and before its answer is heard. */
  fuse(calls: number): void
}

/** A new one for each who waits: one for all would remember them, and with them every world that ever was. */
const never = () => new Promise<never>(() => {})

interface LifeParts {
  readonly clock: Clock
  readonly random: Random
  readonly died: () => void
}

type Method = (...args: unknown[]) => unknown

export const createLife = (parts: LifeParts): Life => new MortalLife(parts)

class MortalLife implements Life {
  readonly clock: Clock
  readonly over: Promise<undefined>
  readonly #parts: LifeParts
  #tell: () => void = () => {}
  #dead = false
  #callsLeft = Number.POSITIVE_INFINITY
  #stalledUntil = 0

  constructor(parts: LifeParts) {
    const { clock } = parts
    this.#parts = parts
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (delayMs, run) => this.#after(delayMs, run),
    }
    this.over = new Promise((resolve) => {
      this.#tell = () => resolve(undefined)
    })
  }

  alive(): boolean {
    return !this.#dead
  }

  die(): void {
    if (this.#dead) return
    this.#dead = true
    this.#tell()
    this.#parts.died()
  }

  stall(forMs: number): void {
    // A second one in the middle of a longer one does not shorten it.
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#parts.clock.monotonic() + forMs)
  }

  awake(): Promise<void> | undefined {
    const leftMs = this.#stallLeftMs()
    return leftMs > 0 ? sleep(this.#parts.clock, leftMs).then(() => this.awake()) : undefined
  }

  fuse(calls: number): void {
    this.#callsLeft = calls
  }

  mortal<T extends object>(thing: T): T {
    return new Proxy(thing, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name === 'size') return value.bind(target)
        return (...args: unknown[]) => this.#call(target, value as Method, args)
      },
      apply: (target, _, args) => this.#call({}, target as unknown as Method, args),
    })
  }

  #stallLeftMs(): number {
    return this.#stalledUntil - this.#parts.clock.monotonic()
  }

  /** A timer that is due while the process is stopped fires when it goes on. */
  #after(delayMs: number, run: () => void): Cancel {
    if (this.#dead) return () => {}
    const { clock } = this.#parts
    let cancel: Cancel = () => {}
    const fire = () => {
      if (this.#dead) return
      const leftMs = this.#stallLeftMs()
      if (leftMs > 0) cancel = clock.after(leftMs, fire)
      else run()
    }
    cancel = clock.after(delayMs, fire)
    return () => cancel()
  }

  /** True when the process dies after this call; it may have died before it. */
  #burn(): boolean {
    this.#callsLeft--
    if (this.#callsLeft > 0) return false
    this.#callsLeft = Number.POSITIVE_INFINITY
    if (this.#parts.random.number() < 0.5) return true
    this.die()
    return false
  }

  #call(target: object, method: Method, args: readonly unknown[]): unknown {
    if (this.#dead) return never()
    const last = this.#burn()
    if (this.#dead) return never()
    const result = Reflect.apply(method, target, args)
    if (!(result instanceof Promise)) return result
    const heard = (pass: () => unknown): unknown => {
      if (last) this.die()
      if (this.#dead) return never()
      return this.awake()?.then(() => heard(pass)) ?? pass()
    }
    return result.then(
      (value: unknown) => heard(() => (isHandle(value) ? this.mortal(value) : value)),
      (error: unknown) =>
        heard(() => {
          throw error
        }),
    )
  }
}

/** Open files and executions are used through the life that opened them. */
const isHandle = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && ('append' in value || 'kill' in value)
