// What an attempt ends with, from what its process came to, or from why there was none.
import { type Exit, SetupError } from '../executor/contract.ts'
import type { ClaimId } from '../protocol/id.ts'
import { limit } from '../protocol/limit.ts'
import { isNoRoom } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { StopCause } from './claim.ts'
import type { Ending } from './journal-entry.ts'
import { toRefusal } from './supply.ts'

/** What a job that has no code of its own ends with. */
export const NO_CODE = 125

/** `stopped`: why swarm ended it, which outdoes what its process came to by that. */
export function endOf(
  { cause, rc, oomKills, usage, result, resultProblem }: Exit,
  {
    stopped,
    startedAt,
    ended_at,
  }: { readonly stopped: StopCause | undefined; readonly startedAt: number; readonly ended_at: number },
): Ending {
  return {
    cause: stopped ?? cause,
    rc,
    ...{ started_at: startedAt, ended_at },
    usage,
    ...(result && { result: result.toString('utf8') }),
    ...messageOf(oomKills, resultProblem),
  }
}

/** What its cgroup counted is said in words: its number has no field of its own on the wire. */
function messageOf(oomKills: number | undefined, problem: string | undefined): Pick<Ending, 'message'> {
  const counted = oomKills === undefined ? [] : [`the kernel killed ${oomKills} of its processes for lack of memory`]
  const said = [...counted, ...(problem === undefined ? [] : [problem])]
  return said.length === 0 ? {} : { message: said.join('; ').slice(0, limit.messageChars) }
}

interface Unstarted {
  readonly stopped: StopCause | undefined
  readonly ended_at: number
  readonly claimId: ClaimId
  readonly log: Log
}

/** There is no process, for this error. */
export function endWithout(error: unknown, { stopped, ended_at, claimId, log }: Unstarted): Ending {
  if (stopped) return { cause: stopped, ended_at }
  const refusal = toRefusal(error)
  if (refusal) return { ...refusal, rc: NO_CODE, ended_at }
  const message = (error instanceof Error ? error.message : String(error)).slice(0, limit.messageChars)
  if (!(error instanceof SetupError)) log.error('executor_failed', { claim_id: claimId, error: message })
  return { cause: isNoRoom(error) ? 'disk_full' : 'setup_failed', rc: NO_CODE, ended_at, message }
}
