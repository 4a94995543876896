// How flags are declared: each has a variable, a parser with a clear complaint, and a place in the help.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { formatDuration, parseDuration } from './duration.ts'
import { Failure } from './failure.ts'
import type { Io } from './io.ts'
import { parseSize } from './size.ts'

/** Adds a flag with its variable; `parse` turns its text into a value. */
export function flag(command: Command, flags: string, spec: FlagSpec): Command {
  const option = new Option(flags, spec.says)
  if (spec.variable !== undefined) option.env(spec.variable)
  if (spec.choices) option.choices(spec.choices)
  else if (spec.parse) option.argParser(spec.parse)
  if (spec.initial !== undefined) option.default(spec.initial, spec.initialSays)
  if (spec.group !== undefined) option.helpGroup(spec.group)
  return command.addOption(option)
}

export interface FlagSpec {
  readonly says: string
  readonly variable?: string
  readonly parse?: (text: string, before: unknown) => unknown
  readonly choices?: readonly string[]
  readonly initial?: unknown
  readonly initialSays?: string
  readonly group?: string
}

const complaining =
  <T>(parse: (text: string) => T) =>
  (text: string): T => {
    try {
      return parse(text)
    } catch (error) {
      if (error instanceof Failure) throw new InvalidArgumentError(`${error.message}. ${error.next}`)
      throw error
    }
  }

export const asDuration = complaining(parseDuration)

/** A duration from `leastMs` to `mostMs`. */
export const asDurationWithin =
  (leastMs: number, mostMs: number) =>
  (text: string): number => {
    const ms = asDuration(text)
    if (ms >= leastMs && ms <= mostMs) return ms
    throw new InvalidArgumentError(`It must be from ${formatDuration(leastMs)} to ${formatDuration(mostMs)}.`)
  }

export const asSize = complaining(parseSize)

export const asCount =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string) => {
    const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (count >= least && count <= most) return count
    throw new InvalidArgumentError(
      `It must be a whole number from ${least}${most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ''}.`,
    )
  }

export function asNumber(text: string): number {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text)
  throw new InvalidArgumentError(`${JSON.stringify(text)} must be a number.`)
}

/** Repeatable `K=V`; a variable holds one line per pair. */
export function asPairs(text: string, before: unknown): Readonly<Record<string, string>> {
  const pairs = text.split('\n').map((line) => {
    const at = line.indexOf('=')
    if (at < 1) throw new InvalidArgumentError('It must look like NAME=VALUE.')
    return [line.slice(0, at), line.slice(at + 1)] as const
  })
  return { ...(before as object | undefined), ...Object.fromEntries(pairs) }
}

/** Repeatable; a variable holds one value per line. */
export function asList(text: string, before: unknown): readonly string[] {
  return [...((before as readonly string[] | undefined) ?? []), ...text.split('\n')]
}

/** Lets variables stand in for flags that were not typed. From `io` and not from the process, so that tests bring their own. */
export function applyVariables(command: Command, env: Io['env']): void {
  for (const option of command.options) {
    const text = option.envVar === undefined ? undefined : env[option.envVar]
    const source = command.getOptionValueSource(option.attributeName())
    if (!text || (source !== undefined && source !== 'default')) continue
    command.setOptionValueWithSource(option.attributeName(), parsedValue(option, text), 'env')
  }
}

function parsedValue(option: Option, text: string): unknown {
  if (option.isBoolean()) return !/^(0|false|no|off)$/i.test(text)
  if (!option.parseArg) return text
  try {
    return option.parseArg(text, undefined as never)
  } catch (error) {
    throw new Failure({
      what: `${option.envVar} holds ${JSON.stringify(text)}`,
      why: error instanceof Error ? error.message : String(error),
      exit: 'usage',
    })
  }
}
