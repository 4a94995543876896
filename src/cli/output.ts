// Every printed byte passes here: results go to stdout, all else to stderr, colour only on a terminal. Decides no exit code.
import type { Failure } from './failure.ts'
import type { Io, Sink } from './io.ts'

export interface Column<T> {
  readonly title: string
  readonly cell: (item: T) => string
}

export interface Output {
  readonly json: boolean
  /** One result: the object itself under --json, else lines for people. */
  result(value: unknown, lines: () => string | readonly string[]): Promise<void>
  /** Many results: NDJSON under --json, a table on a terminal, else tab-separated lines without a head. */
  list<T>(items: readonly T[], columns: readonly Column<T>[], none: string): Promise<void>
  /** A job's own bytes, untouched. */
  bytes(to: 'stdout' | 'stderr', data: string | Uint8Array): Promise<void>
  /** A line for people on stderr, ours and not a job's. */
  note(text: string): Promise<void>
  /** The one line that is rewritten in place on a terminal; undefined takes it away. Nothing off a terminal. */
  status(text: string | undefined): Promise<void>
  failure(failure: Failure): Promise<void>
}

export function createOutput(
  io: Pick<Io, 'stdout' | 'stderr' | 'env'>,
  { program, json }: { program: string; json: boolean },
): Output {
  let statusShown = false
  const clear = () => {
    const text = statusShown ? '\r\x1b[K' : ''
    statusShown = false
    return text
  }
  return {
    json,
    async result(value, lines) {
      const text = json ? [JSON.stringify(value)] : [lines()].flat().map(printable)
      await io.stdout.write(text.map((line) => `${line}\n`).join(''))
    },
    async list(items, columns, none) {
      if (json) return io.stdout.write(items.map((item) => `${JSON.stringify(item)}\n`).join(''))
      if (items.length === 0) return io.stderr.write(`${none}\n`)
      const rows = items.map((item) => columns.map(({ cell }) => printable(cell(item)).replace(/[\t\n]/g, ' ')))
      await io.stdout.write(
        io.stdout.isTty
          ? await table(
              io,
              columns.map(({ title }) => title),
              rows,
            )
          : tabbed(rows),
      )
    },
    async bytes(to, data) {
      // The status line stands on the terminal, whichever of the two streams comes next.
      if (statusShown) await io.stderr.write(clear())
      await io[to].write(data)
    },
    note: (text) => io.stderr.write(`${clear()}${program}: ${printable(text)}\n`),
    async status(text) {
      if (!io.stderr.isTty || (text === undefined && !statusShown)) return
      const line = `${clear()}${text === undefined ? '' : printable(text)}`
      statusShown = text !== undefined
      await io.stderr.write(line)
    },
    async failure({ message, why, next, exit, facts }) {
      if (json) return io.stderr.write(`${JSON.stringify({ error: { message, why, next, exit, ...facts } })}\n`)
      const red = await painter(io, io.stderr)
      const rest = [why && `  why:  ${why}`, next && `  next: ${next}`].filter((line) => line !== '')
      await io.stderr.write(
        [`${clear()}${red(`${program}: ${printable(message)}`)}`, ...rest.map(printable), ''].join('\n'),
      )
    },
  }
}

/** Text of others must not move the cursor or ring the bell of whoever lists it. A job's own output is not touched. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** The reader of our output went away, as after `| head`. */
export function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED')
}

/** `key: value` lines with the values under each other; absent values leave no line. */
export function fields(
  pairs: readonly (readonly [string, string | number | boolean | undefined])[],
): readonly string[] {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== '')
  const width = Math.max(...shown.map(([key]) => key.length)) + 1
  return shown.map(([key, value]) => `${`${key}:`.padEnd(width)} ${value}`)
}

function tabbed(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.join('\t')}\n`).join('')
}

async function table(
  io: Pick<Io, 'env' | 'stdout'>,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  const { default: Table } = await import('cli-table3')
  const bold = await painter(io, io.stdout, 'bold')
  const made = new Table({
    head: head.map(bold),
    chars: noBorders,
    style: { head: [], 'padding-left': 0, 'padding-right': 2 },
  })
  made.push(...rows.map((row) => [...row]))
  const lines = made.toString().split('\n')
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

const noBorders = Object.fromEntries([
  ['middle', ''],
  ...['top', 'bottom', 'left', 'mid', 'right'].flatMap((side) => [
    [side, ''],
    ...['mid', 'left', 'right'].map((end) => [`${side}-${end}`, '']),
  ]),
])

async function painter(
  io: Pick<Io, 'env'>,
  sink: Sink,
  style: 'red' | 'bold' = 'red',
): Promise<(text: string) => string> {
  if (!sink.isTty || io.env.NO_COLOR) return (text) => text
  const { default: colors } = await import('picocolors')
  return colors.createColors(true)[style]
}
