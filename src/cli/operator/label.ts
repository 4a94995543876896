// The labels of a code: what an operator's flags say of them, and how a list shows them.
import type { AllowedLabels } from '../../protocol/job.ts'
import { describeAllowed } from '../../state/label.ts'
import { pairs } from '../consumer/show.ts'
import type { LabelFlags } from './label-flag.ts'

export const labelsOf = ({ label, allowLabel }: LabelFlags) => ({
  ...(label === undefined ? {} : { labels: { ...label } }),
  ...(allowLabel === undefined ? {} : { allowed_labels: { ...allowLabel } }),
})

/** For a list: what it gives, then what may be chosen. */
export function describeLabels(code: {
  readonly labels: Readonly<Record<string, string>>
  readonly allowed_labels?: AllowedLabels | undefined
}): string {
  const chosen = Object.entries(code.allowed_labels ?? {}).map(([key, need]) => describeAllowed(key, need))
  return [pairs(code.labels), chosen.length > 0 ? `may choose ${chosen.join(', ')}` : ''].filter(Boolean).join('; ')
}
