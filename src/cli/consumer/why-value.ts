// What a job wants and what a worker has, as people write them: sizes with their units, conditions as they are typed.
import { labelNeed } from '../../protocol/job.ts'
import type { WhyView } from '../../protocol/why.ts'
import { describeAllowed } from '../../state/label.ts'
import { formatSize } from '../size.ts'

type Group = NonNullable<WhyView['waiting']>['workers'][number]

export function describeWanted(requirement: string, wants: unknown): string {
  const key = /^labels\.(.*)$/.exec(requirement)?.[1]
  const { data: label } = labelNeed.safeParse(wants)
  // An operator that this version does not know is shown as it came.
  return key === undefined || label === undefined ? describeValue(requirement, wants) : describeAllowed(key, label)
}

/** Of several workers a range, or some of the values. */
export function describeHas({ requirement = '', has, has_least, has_most, has_some }: Group): string {
  if (has_least !== undefined) {
    return `${describeValue(requirement, has_least)} to ${describeValue(requirement, has_most)}`
  }
  return has_some
    ? has_some.map((value) => describeValue(requirement, value)).join(' or ')
    : describeValue(requirement, has)
}

function describeValue(requirement: string, value: unknown): string {
  if (value === undefined || value === null) return 'none'
  if (Array.isArray(value)) {
    return value.length === 0 ? 'none' : value.map((one) => describeValue(requirement, one)).join(', ')
  }
  if (typeof value === 'number' && requirement.endsWith('_bytes')) return formatSize(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
