// The one table of exit codes, and how an error or a job becomes one. Prints nothing.
import type { CallErrorCode } from '../client/contract.ts'
import type { JobView } from '../protocol/consumer.ts'

export const exitTable = {
  ok: { code: 0, says: 'done' },
  failed: { code: 1, says: 'pond refused, or something failed here; stderr says what, why and what next' },
  usage: { code: 2, says: 'the command line is wrong; nothing was sent' },
  unreachable: { code: 75, says: 'no pond answered, or it could not do it now; the same command may work later' },
  upgrade: { code: 76, says: 'pond and this program are too many protocol steps apart' },
  unauthorised: { code: 77, says: 'the token is missing, wrong, or not allowed to do this' },
  noCode: { code: 125, says: 'the job ended without an exit code of its own; stderr and --json hold the cause' },
  interrupted: { code: 130, says: 'Ctrl-C' },
  pipeClosed: { code: 141, says: 'the reader of our output went away' },
  terminated: { code: 143, says: 'SIGTERM' },
} as const

export type ExitName = keyof typeof exitTable

export function exitCode(name: ExitName): number {
  return exitTable[name].code
}

/** For an answer of pond, or for none. */
export function exitOfError(error: { readonly code: CallErrorCode; readonly retry: string }): number {
  if (error.code === 'upgrade_required') return exitCode('upgrade')
  if (error.code === 'unauthenticated' || error.code === 'forbidden') return exitCode('unauthorised')
  if (error.code === 'unreachable' || error.code === 'undecodable' || error.retry === 'later')
    return exitCode('unreachable')
  return exitCode('failed')
}

/** An ended job's code. A job that did not succeed never gives 0, whatever its process said while it was being stopped. */
export function exitOfJob(job: Pick<JobView, 'state' | 'rc'>): number {
  if (job.state === 'succeeded') return job.rc ?? exitCode('ok')
  return job.rc ? job.rc : exitCode('noCode')
}
