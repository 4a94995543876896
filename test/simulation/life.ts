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

const never = new Promise<never>(() => {})

export function createLife(parts: { readonly clock: Clock; readonly random: Random; readonly died: () => void }): Life {
  const { clock, random, died } = parts
  let dead = false
  let callsLeft = Number.POSITIVE_INFINITY
  let stalledUntil = 0
  let tell: () => void = () => {}
  const over = new Promise<undefined>((resolve) => {
    tell = () => resolve(undefined)
  })

  function die(): void {
    if (dead) return
    dead = true
    tell()
    died()
  }

  function awake(): Promise<void> | undefined {
    const leftMs = stalledUntil - clock.monotonic()
    return leftMs > 0 ? sleep(clock, leftMs).then(awake) : undefined
  }

  /** A timer that is due while the process is stopped fires when it goes on. */
  function after(delayMs: number, run: () => void): Cancel {
    if (dead) return () => {}
    let cancel: Cancel = () => {}
    const fire = () => {
      if (dead) return
      const leftMs = stalledUntil - clock.monotonic()
      if (leftMs > 0) cancel = clock.after(leftMs, fire)
      else run()
    }
    cancel = clock.after(delayMs, fire)
    return () => cancel()
  }

  /** True when the process dies after this call; it may have died before it. */
  function burn(): boolean {
    callsLeft--
    if (callsLeft > 0) return false
    callsLeft = Number.POSITIVE_INFINITY
    if (random.number() < 0.5) return true
    die()
    return false
  }

  function call(target: object, method: (...args: unknown[]) => unknown, args: readonly unknown[]): unknown {
    if (dead) return never
    const last = burn()
    if (dead) return never
    const result = Reflect.apply(method, target, args)
    if (!(result instanceof Promise)) return result
    const heard = (pass: () => unknown): unknown => {
      if (last) die()
      if (dead) return never
      return awake()?.then(() => heard(pass)) ?? pass()
    }
    return result.then(
      (value: unknown) => heard(() => (isHandle(value) ? mortal(value) : value)),
      (error: unknown) =>
        heard(() => {
          throw error
        }),
    )
  }

  function mortal<T extends object>(thing: T): T {
    return new Proxy(thing, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name === 'size') return value.bind(target)
        return (...args: unknown[]) => call(target, value as (...args: unknown[]) => unknown, args)
      },
      apply: (target, _, args) => call({}, target as unknown as (...args: unknown[]) => unknown, args),
    })
  }

  return {
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after,
    },
    alive: () => !dead,
    die,
    over,
    mortal,
    stall(forMs) {
      stalledUntil = clock.monotonic() + forMs
    },
    awake,
    fuse(calls) {
      callsLeft = calls
    },
  }
}

/** Open files and executions are used through the life that opened them. */
const isHandle = (value: unknown): value is object => typeof value === 'object' && value !== null && 'append' in value
