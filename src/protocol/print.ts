// The tables of the protocol page, printed from the data that runs. Pure: text comes out, nothing is read or written.
import { type ErrorRow, errorTable } from './error.ts'
import { causeTable, isFinal, jobStates } from './job.ts'
import { limit } from './limit.ts'
import { routes } from './route.ts'
import type { Route } from './shape.ts'

export function printRouteTable(): string {
  return markdownTable(
    ['Call', 'Caller', 'What it does'],
    Object.values<Route>(routes).map((route) => [
      code(`${route.method} ${route.path}`),
      route.caller,
      route.reserved ? `${route.says} *Reserved: answers \`unsupported\`.*` : route.says,
    ]),
  )
}

export function printErrorTable(): string {
  return markdownTable(
    ['Code', 'Status', 'Try again', 'What to do'],
    Object.entries<ErrorRow>(errorTable).map(([name, row]) => [code(name), `${row.status}`, row.retry, row.help]),
  )
}

export function printCauseTable(): string {
  return markdownTable(
    ['Cause', 'Meaning'],
    Object.entries(causeTable).map(([name, says]) => [code(name), says]),
  )
}

export function printJobStateTable(): string {
  return markdownTable(
    ['State', 'Final'],
    jobStates.map((state) => [code(state), isFinal(state) ? 'yes' : 'no']),
  )
}

export function printLimitTable(): string {
  return markdownTable(
    ['Limit', 'Value', 'That is'],
    Object.entries(limit).map(([name, value]) => [code(name), `${value}`, inWords(name, value)]),
  )
}

const steps = {
  Bytes: [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ],
  Ms: [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ],
} as const

/** The value in the largest unit that divides it; a plain count has none. The unit stands in the name, also before `Most` or `Least`. */
function inWords(name: string, value: number): string {
  const unit = /(Bytes|Ms)(Most)?$/.exec(name)?.[1] as keyof typeof steps | undefined
  if (!unit) return ''
  const step = steps[unit].find(([, size]) => value >= size && value % size === 0)
  return step ? `${value / step[1]} ${step[0]}` : `${value} ${unit === 'Ms' ? 'ms' : 'bytes'}`
}

function code(text: string): string {
  return `\`${text}\``
}

/** A bar inside a cell is escaped. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}
