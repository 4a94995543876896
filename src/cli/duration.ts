// Durations as people write and read them: `500ms 10s 5m 2h 90d`, inside always milliseconds.
import { usageFailure } from './failure.ts'

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Takes one or more `number unit` pairs, as in `1h30m`. */
export function parseDuration(text: string): number {
  const pairs = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (pairs.length === 0 || pairs.map(([all]) => all).join('') !== text) {
    throw usageFailure(
      `${JSON.stringify(text)} is no duration`,
      'Write a number and a unit: 500ms, 10s, 5m, 2h, 90d, 1h30m.',
    )
  }
  return Math.round(
    pairs.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit as keyof typeof unitMs], 0),
  )
}

/** The two largest units that matter: `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return joined(`${minutes} min`, seconds % 60, 's')
  const hours = Math.floor(minutes / 60)
  return hours < 24 ? joined(`${hours} h`, minutes % 60, 'min') : joined(`${Math.floor(hours / 24)} d`, hours % 24, 'h')
}

/** How long ago, for lists. */
export function formatAgo(at: number | undefined, now: number): string {
  return at === undefined ? 'never' : `${formatDuration(Math.max(0, now - at))} ago`
}

/** A moment for lists and reports, in UTC to the second. */
export function formatTime(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}

function joined(most: string, rest: number, unit: string): string {
  return rest === 0 ? most : `${most} ${rest} ${unit}`
}
