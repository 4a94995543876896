// What happened in a simulated world, in order: a digest that tells whether a replay was the same, and the lines for a person who asks.
import { createHash } from 'node:crypto'
import type { Clock } from '../../src/system/clock.ts'

export type Facts = Readonly<Record<string, unknown>>

export interface History {
  note(event: string, facts?: Facts): void
  /** What no seed decides, as a digest of ciphertext, is shown by this name. */
  rename(text: string, name: string): void
  /** SHA-256 of all lines so far. */
  digest(): string
  count(): number
}

/** `print` gets each line as it comes. */
export function createHistory(clock: Clock, print?: (line: string) => void): History {
  const hash = createHash('sha256')
  const names = new Map<string, string>()
  let count = 0
  return {
    note(event, facts = {}) {
      let line = `${(clock.monotonic() / 1000).toFixed(3)} ${event} ${JSON.stringify(facts)}`
      for (const [text, name] of names) line = line.replaceAll(text, name)
      hash.update(`${line}\n`)
      count++
      print?.(line)
    },
    rename: (text, name) => void names.set(text, name),
    digest: () => hash.copy().digest('hex'),
    count: () => count,
  }
}
