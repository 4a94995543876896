// Sizes as people write and read them: `200M`, `64KiB`, inside always bytes.
import { usageFailure } from './failure.ts'

const KiB = 1024
const units: Readonly<Record<string, number>> = { '': 1, k: KiB, m: KiB ** 2, g: KiB ** 3, t: KiB ** 4 }

/** `K`, `M`, `G`, `T` are powers of 1024, with or without `B` or `iB`, as for most tools that take sizes. */
export function parseSize(text: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text) ?? []
  const factor = unit === undefined ? undefined : units[unit.toLowerCase()]
  if (count === undefined || factor === undefined) {
    throw usageFailure(`${JSON.stringify(text)} is no size`, 'Write a number and a unit: 65536, 64KiB, 200M, 2G.')
  }
  return Math.round(Number(count) * factor)
}

export function formatSize(bytes: number): string {
  const step = [...'TGMK'].find((unit) => bytes >= (units[unit.toLowerCase()] ?? Number.POSITIVE_INFINITY))
  if (step === undefined) return `${bytes} B`
  return `${(bytes / (units[step.toLowerCase()] ?? 1)).toFixed(1)} ${step}iB`
}
