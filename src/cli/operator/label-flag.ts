// The labels of a code, as an operator types them: which it gives, and which a machine may choose. Part of every --help, so nothing heavy is loaded here.
import { type Command, InvalidArgumentError } from 'commander'
import type { AllowedLabels, LabelNeed } from '../../protocol/job.ts'
import { asNeeds } from '../consumer/job-flag.ts'
import { asPairs, flag } from '../flag.ts'

export interface LabelFlags {
  readonly label?: Readonly<Record<string, string>>
  readonly allowLabel?: AllowedLabels
}

/** `prefix`: of their variables. */
export function addLabelFlags(
  command: Command,
  { whose, prefix }: { readonly whose: string; readonly prefix: string },
): void {
  flag(command, '--label <key=value>', {
    says: `a label for ${whose}, repeatable`,
    variable: `${prefix}_LABEL`,
    parse: asPairs,
  })
  flag(command, '--allow-label <label>', {
    says: 'a label that the machine may choose: name, name=value, name>=number or name<=number, or * for any; repeatable',
    variable: `${prefix}_ALLOW_LABEL`,
    parse: asAllowed,
  })
}

/** Repeatable; values of one name are a choice. */
function asAllowed(text: string, before: unknown): AllowedLabels {
  const all: Record<string, LabelNeed> = { ...(before as AllowedLabels | undefined) }
  for (const line of text.split('\n')) {
    for (const [name, need] of Object.entries(asNeeds(line, undefined))) {
      const known = Object.hasOwn(all, name) ? all[name] : undefined
      all[name] = known === undefined ? need : both(name, known, need)
    }
  }
  return all
}

function both(name: string, one: LabelNeed, other: LabelNeed): LabelNeed {
  const values = [one, other].flatMap((need) => (typeof need === 'object' && need.op === 'in' ? need.value : [need]))
  const texts = values.filter((value) => typeof value === 'string')
  if (texts.length === values.length) return { op: 'in', value: texts }
  throw new InvalidArgumentError(`${name} is allowed in two ways. Name values only, or one condition.`)
}
