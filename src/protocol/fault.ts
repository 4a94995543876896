// What is wrong with a value, in our words: the one place that turns a schema's issues into sentences. A message that a schema has of its own stands.
import { z } from 'zod'

export interface Fault {
  /** Where it is; empty for the value itself. */
  readonly path: readonly string[]
  /** No field of that name is known there. */
  readonly isUnknown: boolean
  /** Completes "FIELD: …". */
  readonly says: string
}

export type Judged<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly faults: readonly [Fault, ...Fault[]] }

export function judge<T>(schema: z.ZodType<T>, value: unknown): Judged<T> {
  const result = schema.safeParse(value, inOurWords)
  if (result.success) return { ok: true, value: result.data }
  const [first, ...rest] = result.error.issues.flatMap((issue) => faultsOf(issue, []))
  return { ok: false, faults: [first ?? { path: [], isUnknown: false, says: UNFIT }, ...rest] }
}

/** Of a file. What JSON's own complaint would show may be a secret. */
export function judgeText<T>(schema: z.ZodType<T>, text: string): Judged<T> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { ok: false, faults: [{ path: [], isUnknown: false, says: 'it is no JSON' }] }
  }
  return judge(schema, value)
}

export function describeFault({ path, isUnknown, says }: Fault): string {
  const field = path.join('.')
  if (isUnknown) return `${field} ${says}`
  return field === '' ? says : `${field}: ${says}`
}

export const describeFaults = (faults: readonly Fault[]) => [...new Set(faults.map(describeFault))].join('; ')

const UNFIT = 'is not valid'
const MISSING = 'is missing'

function faultsOf(issue: z.core.$ZodIssue, above: readonly string[]): readonly Fault[] {
  const path = [...above, ...issue.path.map(String)]
  const within = (issues: readonly z.core.$ZodIssue[]) => issues.flatMap((inner) => faultsOf(inner, path))
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], isUnknown: true, says: issue.message }))
    case 'invalid_key':
    case 'invalid_element':
      return within(issue.issues)
    case 'invalid_union': {
      const [meant, ...others] = likeliest(issue.errors)
      const lacks = [meant, ...others].flatMap((form) => lackOf(form) ?? [])
      if (lacks.length > 1) return [{ path, isUnknown: false, says: `lacks ${lacks.join(' or ')}` }]
      return meant ? within(meant) : [{ path, isUnknown: false, says: sayUnion(issue) }]
    }
    default:
      return [{ path, isUnknown: false, says: issue.message }]
  }
}

type Form = readonly z.core.$ZodIssue[]

/** Of several forms those with the least to mend; none where already the type is wrong for all. */
function likeliest(forms: readonly Form[]): readonly Form[] {
  const fit = forms.filter(([issue]) => issue && !isType(issue))
  const least = Math.min(...fit.map(({ length }) => length))
  return fit.filter(({ length }) => length === least)
}

/** The field that is not there, where that is all that a form lacks. */
function lackOf(form: Form | undefined): string | undefined {
  const [issue] = form?.length === 1 ? form : []
  return issue && isMissing(issue) ? issue.path.join('.') : undefined
}

function isMissing({ code, message }: z.core.$ZodIssue): boolean {
  return code === 'invalid_type' && message.startsWith(MISSING)
}

function isType(issue: z.core.$ZodIssue): issue is z.core.$ZodIssueInvalidType {
  return issue.code === 'invalid_type' && issue.path.length === 0
}

function sayUnion({ errors, message }: z.core.$ZodIssueInvalidUnion): string {
  const wrong = errors.flatMap(([issue]) => (issue && isType(issue) ? [issue] : []))
  if (wrong.length === 0) return message
  const types = wrong.map(({ expected }) => typeText[expected] ?? expected)
  const must = `must be ${[...new Set(types)].join(' or ')}`
  return wrong.some(isMissing) ? `${MISSING}; it ${must}` : must
}

const say: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? `${MISSING}; it must be ${sayType(issue)}` : `must be ${sayType(issue)}`
    case 'too_small':
    case 'too_big':
      return saySize(issue)
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return Array.isArray(issue.options) ? `must be one of ${issue.options.join(', ')}` : UNFIT
    case 'unrecognized_keys':
      return 'is not a field here'
    case 'invalid_format':
      return issue.pattern === undefined ? `must be of the form ${issue.format}` : `must match ${issue.pattern}`
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return UNFIT
    default:
      return issue satisfies never
  }
}

/** Of the shape that zod copies it into: any other costs ten times as much at each call. */
const inOurWords = { error: say, async: false }

const typeText: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
  never: 'left out',
}

function sayType({ expected, schema }: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  return schema instanceof z.ZodNumber ? sayNumber(schema) : (typeText[expected] ?? expected)
}

type Size = z.core.$ZodRawIssue<z.core.$ZodIssueTooSmall> | z.core.$ZodRawIssue<z.core.$ZodIssueTooBig>

function saySize(issue: Size): string {
  if (issue.schema instanceof z.ZodNumber) return `must be ${sayNumber(issue.schema)}`
  const unit = issue.origin === 'string' ? 'characters' : 'entries'
  if (issue.code === 'too_big') return `must not have more than ${issue.maximum} ${unit}`
  return issue.minimum === 1 ? 'must not be empty' : `must have at least ${issue.minimum} ${unit}`
}

/** With both bounds, whichever of them was broken. */
function sayNumber(schema: z.ZodNumber): string {
  const { minValue, maxValue, isInt } = schema
  const what = isInt ? 'a whole number' : 'a number'
  const least = isBound(minValue) ? minValue : undefined
  const most = isBound(maxValue) ? maxValue : undefined
  if (least !== undefined && !schema.safeParse(least).success) {
    return `${what} above ${least}${most === undefined ? '' : `, at most ${most}`}`
  }
  if (least !== undefined) return most === undefined ? `${what}, at least ${least}` : `${what} from ${least} to ${most}`
  return most === undefined ? what : `${what}, at most ${most}`
}

/** Whole numbers have bounds of their own, which nobody set. */
const isBound = (value: number | null): value is number => value !== null && Math.abs(value) < Number.MAX_SAFE_INTEGER
