// Whose word a label of a worker is: its code gives it, or lets the machine choose it. A job that requires a label goes by it, so nobody gives one to himself. Pure.
import type { AllowedLabels, LabelNeed, Labels } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'
import { suits } from './match.ts'

/** What a code says of the labels of those who come with it. */
export interface Charter {
  /** Theirs, with this value and no other. */
  readonly labels: Labels
  /** What they may choose, by key; `*` is any key that is not named. */
  readonly allowedLabels?: AllowedLabels
}

/** What a machine says of its own labels. */
export interface Wish {
  readonly labels: Labels
  /** Given by the code, and left out: such jobs are not to come. */
  readonly without_labels?: readonly string[] | undefined
}

export type Settled =
  | {
      readonly ok: true
      readonly labels: Labels /** Keys of those that the machine chose. */
      readonly own: readonly string[]
    }
  | { readonly ok: false; readonly field: string; readonly why: string }

/** The labels of a worker, or the first that is not for it to say. */
export function settleLabels(
  { labels: given, allowedLabels = {} }: Charter,
  { labels, without_labels = [] }: Wish,
): Settled {
  for (const key of without_labels) {
    if (Object.hasOwn(given, key) && !Object.hasOwn(labels, key)) continue
    const why = Object.hasOwn(given, key)
      ? 'it is named and left out at once'
      : `the code does not give the label ${key}`
    return { ok: false, field: 'without_labels', why }
  }
  for (const [key, value] of Object.entries(labels)) {
    const why = whyNot(key, value, { labels: given, allowedLabels })
    if (why !== undefined) return { ok: false, field: `labels.${key}`, why }
  }
  const kept = Object.entries(given).filter(([key]) => !without_labels.includes(key))
  const all = { ...Object.fromEntries(kept), ...labels }
  if (Object.keys(all).length > limit.labels) {
    return { ok: false, field: 'labels', why: `with those of the code there are more than ${limit.labels}` }
  }
  return { ok: true, labels: all, own: Object.keys(labels).filter((key) => !Object.hasOwn(given, key)) }
}

function whyNot(key: string, value: string, { labels, allowedLabels = {} }: Charter): string | undefined {
  if (Object.hasOwn(labels, key)) {
    return labels[key] === value ? undefined : `the code gives ${key}=${labels[key]}, and no other value`
  }
  const allowed = Object.hasOwn(allowedLabels, key) ? allowedLabels[key] : allowedLabels['*']
  if (allowed === undefined) {
    return `the code neither gives this label nor lets the machine choose it; leave it out, or ask for a code made with --label ${key}=${value} or --allow-label ${key}`
  }
  return suits(allowed, value) ? undefined : `the code lets the machine choose only ${describeAllowed(key, allowed)}`
}

/** As it is typed: `rack`, `zone=eu or us`, `tier>=2`. */
export function describeAllowed(key: string, need: LabelNeed): string {
  if (typeof need === 'string') return `${key}=${need}`
  switch (need.op) {
    case 'eq':
      return `${key}=${need.value}`
    case 'in':
      return `${key}=${need.value.join(' or ')}`
    case 'gte':
      return `${key}>=${need.value}`
    case 'lte':
      return `${key}<=${need.value}`
    case 'between':
      return `${key}>=${need.value[0]} and <=${need.value[1]}`
    case 'exists':
      return key
    default:
      return need satisfies never
  }
}
