// Randomness as an interface, and the ids made from it: nothing else may draw a random number.
import { randomBytes, randomInt } from 'node:crypto'
import { monotonicFactory } from 'ulid'
import type { Clock } from './clock.ts'

export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Buffer
  /** A number in [0, 1), for jitter and ids; not for secrets. */
  number(): number
}

/** Each call has a nonce, and asking the system for every one costs as much as signing with it. */
const POOL_BYTES = 4096
let pool = Buffer.alloc(0)
let used = 0

/** Out of the pool, where they are wiped: nobody else gets them, and nobody reads them there later. */
function draw(count: number): Buffer {
  if (count > POOL_BYTES) return randomBytes(count)
  if (used + count > pool.length) [pool, used] = [randomBytes(POOL_BYTES), 0]
  const bytes = Buffer.alloc(count)
  pool.copy(bytes, 0, used, used + count)
  pool.fill(0, used, used + count)
  used += count
  return bytes
}

export const systemRandom: Random = {
  bytes: draw,
  // Drawn from a pool: an id takes sixteen of them.
  number: () => randomInt(2 ** 32) / 2 ** 32,
}

/** Makes the part of an id behind its prefix: 26 lower-case characters that sort by time, also within one millisecond. */
export function createIdMaker(clock: Clock, random: Random): () => string {
  const next = monotonicFactory(() => random.number())
  return () => next(clock.now()).toLowerCase()
}

export interface JitterRange {
  readonly baseMs: number
  readonly mostMs: number
  /** What is drawn from is at least this long, however few the tries. */
  readonly leastMs?: number
}

/** Full jitter: a wait drawn evenly from [0, min(`mostMs`, `baseMs` × 2^tries)), in milliseconds. */
export function jitter(random: Random, tries: number, { baseMs, mostMs, leastMs = 0 }: JitterRange): number {
  return random.number() * Math.max(leastMs, Math.min(mostMs, baseMs * 2 ** Math.min(tries, 30)))
}
