// Randomness that a seed repeats: a small xorshift generator, good for tests and for nothing secret.
import type { Random } from '../../src/system/random.ts'

export function createSeededRandom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1
  const next = () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  return {
    number: () => next() / 2 ** 32,
    bytes(count) {
      const bytes = Buffer.alloc(count)
      for (let index = 0; index < count; index++) bytes[index] = next() & 0xff
      return bytes
    },
  }
}
