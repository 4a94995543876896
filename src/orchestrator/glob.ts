// Which paths the globs of a job mean. Whoever wrote them is not trusted, and one can be written so that to try it on one name takes years:
// all of them together get so much time and no more.
import { createContext, Script } from 'node:vm'
import picomatch from 'picomatch'
import type { Clock } from '../system/clock.ts'

export interface Globs {
  /** Places of those that mean this path; undefined once the time is over. */
  match(path: string): readonly number[] | undefined
}

/** Nothing else of this swarm goes on meanwhile. A hundred thousand names take a second or two. */
const ALL_MS = 5000
/** What honest globs take for one name, a loaded machine included, is a hundredth of it. */
const ONE_MS = 1000

/** Another context only because a script there can be stopped in the middle of a match. */
const EACH = new Script('all.map((it) => it.test(path))')
const MAKE = new Script('all = all.map((source) => new RegExp(source))')

export function createGlobs(globs: readonly string[], { monotonic }: Pick<Clock, 'monotonic'>): Globs {
  const plain = globs.map((glob) => glob.replace(/^\.\//, ''))
  const context = createContext({ path: '', all: plain.map((glob) => picomatch.makeRe(glob).source) })
  MAKE.runInContext(context)
  let leftMs = ALL_MS
  return {
    match(path) {
      if (leftMs <= 0) return undefined
      const began = monotonic()
      try {
        context.path = path
        const found = EACH.runInContext(context, { timeout: ONE_MS }) as readonly boolean[]
        return plain.flatMap((glob, index) => (found[index] || glob === path ? [index] : []))
      } catch (error) {
        if (!isTimeout(error)) throw error
        leftMs = 0
        return undefined
      } finally {
        leftMs -= monotonic() - began
      }
    },
  }
}

/** Of the other context, so that it is no Error of this one. */
const isTimeout = (error: unknown) =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
