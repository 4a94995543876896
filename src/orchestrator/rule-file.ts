// rules.json in swarm's folder: read again whenever it changed. A broken one is refused at the start and later leaves the last good rules.
import { describeFaults, judge } from '../protocol/fault.ts'
import type { Clock } from '../system/clock.ts'
import type { Disk } from '../system/disk.ts'
import { lockSoon } from '../system/lock.ts'
import { type Rules, rules } from './rule.ts'

export interface RuleFile {
  readonly path: string
  /** The rules as they stand; none where there is no file. Rejects with RulesError. */
  read(): Promise<Rules>
  /** Read, changed and written under a lock, for the running swarm and its owner's command line both do. Resolves with what is kept. */
  change(edit: (before: Rules) => unknown): Promise<Rules>
}

/** Says what is wrong and in which field. */
export class RulesError extends Error {
  override readonly name = 'RulesError'
}

/** As `pause` and `resume` edit it. */
export const withPaused =
  (paused: boolean) =>
  ({ paused: _, ...rest }: Rules): Rules =>
    paused ? { ...rest, paused } : rest

export function openRuleFile({ disk, clock }: { readonly disk: Disk; readonly clock: Clock }, path: string): RuleFile {
  async function read(): Promise<Rules> {
    const bytes = await disk.read(path)
    return bytes ? parseRules(bytes.toString('utf8')) : {}
  }
  return {
    path,
    read,
    async change(edit) {
      const unlock = await lockSoon(disk, `${path}.lock`, clock)
      try {
        const after = checkRules(edit(await read()))
        await disk.replace(path, `${JSON.stringify(after, undefined, 2)}\n`)
        return after
      } finally {
        await unlock()
      }
    },
  }
}

function parseRules(text: string): Rules {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new RulesError(`it is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return checkRules(value)
}

export function checkRules(value: unknown): Rules {
  const judged = judge(rules, value)
  if (judged.ok) return judged.value
  throw new RulesError(describeFaults(judged.faults))
}
