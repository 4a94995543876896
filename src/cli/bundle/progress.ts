// Tells how far a long transfer is: one line that is rewritten on a terminal, nothing elsewhere.
import type { Io } from '../io.ts'
import type { Output } from '../output.ts'
import { formatSize } from '../size.ts'

/** Rewriting it faster only costs. */
const TURN_MS = 100

export interface Progress {
  /** Begins anew; speed is counted from here. */
  begin(what: string, total: number, from?: number): void
  at(done: number): void
}

export function createProgress({ io, out }: { readonly io: Pick<Io, 'clock'>; readonly out: Output }): Progress {
  const { clock } = io
  let row = { what: '', total: 0, from: 0, beganAt: clock.monotonic() }
  let shownAt = Number.NEGATIVE_INFINITY
  return {
    begin(what, total, from = 0) {
      row = { what, total, from, beganAt: clock.monotonic() }
      shownAt = Number.NEGATIVE_INFINITY
    },
    at(done) {
      const now = clock.monotonic()
      if (now - shownAt < TURN_MS) return
      shownAt = now
      const perSecond = ((done - row.from) * 1000) / Math.max(1, now - row.beganAt)
      const far = `${formatSize(done)} of ${formatSize(row.total)}, ${formatSize(Math.round(perSecond))}/s`
      const text = `${row.what} ${barOf(row.total > 0 ? done / row.total : 0)} ${far}`
      // A terminal that went away is noticed by whoever prints a result.
      void out.status(text).catch(() => {})
    },
  }
}

const BAR_CHARS = 20

function barOf(share: number): string {
  const full = Math.round(Math.min(1, share) * BAR_CHARS)
  return `[${'#'.repeat(full)}${' '.repeat(BAR_CHARS - full)}] ${Math.floor(Math.min(1, share) * 100)} %`
}
