// Conditions on labels, as jobs and codes name them: `zone`, `zone=lab`, `zone=lab|attic`, `tier>=2`, `tier<=3`. Part of every --help, so nothing heavy is loaded here.
import { InvalidArgumentError } from 'commander'
import type { LabelNeed } from '../protocol/job.ts'

export type LabelNeeds = Readonly<Record<string, LabelNeed>>

/** What a flag's help says of them. */
export const conditionForms = 'key, key=value, key=value|value, key>=number or key<=number'

const KEY = '[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?'
const OF_KEYS = new RegExp(`^(${KEY})(.*)$`, 's')
const OF_ANY = new RegExp(`^(${KEY}|\\*)(.*)$`, 's')
/** What begins like another comparison is no value. */
const VALUES = /^=([^=<>].*)$/s
const BOUND = /^([<>])=(-?\d+(?:\.\d+)?)$/

/** Repeatable; a variable holds one condition per line. Values of one key are a choice, and of two bounds both must hold. */
export const asConditions = conditionsBy(OF_KEYS)

/** The same, where `*` is any key that is not named. */
export const asConditionsOrAny = conditionsBy(OF_ANY)

function conditionsBy(form: RegExp) {
  return (text: string, before: unknown): LabelNeeds => {
    const all = new Map(Object.entries((before as LabelNeeds | undefined) ?? {}))
    for (const line of text.split('\n')) {
      const [, key, rest = ''] = form.exec(line) ?? []
      const need = key === undefined ? undefined : needOf(rest)
      if (key === undefined || need === undefined) throw misread(line, form)
      const known = all.get(key)
      all.set(key, known === undefined ? need : joined(key, known, need))
    }
    return Object.fromEntries(all)
  }
}

/** Undefined for what is no condition. A reading that lets anything in is none of them: only a bare key means any value. */
function needOf(text: string): LabelNeed | undefined {
  if (text === '') return { op: 'exists' }
  const [, sign, number] = BOUND.exec(text) ?? []
  if (number !== undefined) {
    const value = Number(number)
    return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? { op: sign === '>' ? 'gte' : 'lte', value } : undefined
  }
  const values = VALUES.exec(text)?.[1]?.split('|') ?? ['']
  return values.includes('') ? undefined : choiceOf(values)
}

const choiceOf = (values: readonly string[]): LabelNeed => {
  const all = [...new Set(values)]
  return all.length === 1 && all[0] !== undefined ? all[0] : { op: 'in', value: all }
}

function joined(key: string, one: LabelNeed, other: LabelNeed): LabelNeed {
  const both = choiceOfBoth(one, other) ?? spanOf(one, other) ?? spanOf(other, one)
  if (both !== undefined) return both
  throw new InvalidArgumentError(
    `${key} is named twice, and the two are no one condition. Values of a key are a choice, key>=number and key<=number can both hold, and any other condition stands alone.`,
  )
}

function choiceOfBoth(one: LabelNeed, other: LabelNeed): LabelNeed | undefined {
  const [values, more] = [valuesOf(one), valuesOf(other)]
  return values && more && choiceOf([...values, ...more])
}

/** Undefined too where no number is both. */
function spanOf(least: LabelNeed, most: LabelNeed): LabelNeed | undefined {
  if (typeof least === 'string' || least.op !== 'gte' || typeof most === 'string' || most.op !== 'lte') return undefined
  return least.value <= most.value ? { op: 'between', value: [least.value, most.value] } : undefined
}

function valuesOf(need: LabelNeed): readonly string[] | undefined {
  if (typeof need === 'string') return [need]
  return need.op === 'in' ? need.value : undefined
}

function misread(line: string, form: RegExp): InvalidArgumentError {
  const any = form === OF_ANY ? ', and * is any key' : ''
  return new InvalidArgumentError(
    `${JSON.stringify(line)} is no condition. It must look like ${conditionForms}; a key is made of a-z 0-9 . _ / -${any}.`,
  )
}
