// rules.json in swarm's folder: read again whenever it changed. A broken one is refused at the start and later leaves the last good rules.
import { describeFaults, judge } from '../protocol/fault.ts'
import type { Disk } from '../system/disk.ts'
import { type Rules, rules } from './rule.ts'

export interface RuleFile {
  readonly path: string
  /** The rules as they stand; none where there is no file. Rejects with RulesError. */
  read(): Promise<Rules>
  write(value: Rules): Promise<void>
}

/** Says what is wrong and in which field. */
export class RulesError extends Error {
  override readonly name = 'RulesError'
}

export function openRuleFile(disk: Pick<Disk, 'read' | 'replace'>, path: string): RuleFile {
  return {
    path,
    async read() {
      const bytes = await disk.read(path)
      return bytes ? parseRules(bytes.toString('utf8')) : {}
    },
    write: (value) => disk.replace(path, `${JSON.stringify(checkRules(value), undefined, 2)}\n`),
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
