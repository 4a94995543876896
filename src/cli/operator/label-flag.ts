// The labels of a code, as an operator types them: which it gives, and which a machine may choose. Part of every --help, so nothing heavy is loaded here.
import type { Command } from 'commander'
import type { AllowedLabels } from '../../protocol/job.ts'
import { asPairs, flag } from '../flag.ts'
import { asConditionsOrAny, conditionForms } from '../label-condition.ts'

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
    says: `a label that the machine may choose: ${conditionForms}, or * for any; repeatable`,
    variable: `${prefix}_ALLOW_LABEL`,
    parse: asConditionsOrAny,
  })
}
