// A failure as a person reads it: what did not work, why, what to do next; and the exit code it ends with.
import type { CallError } from '../client/contract.ts'
import { type ErrorCode, errorTable } from '../protocol/error.ts'
import { type ExitName, exitCode, exitOfError } from './exit-code.ts'

export interface FailureParts {
  readonly what: string
  readonly why?: string
  readonly next?: string
  readonly exit?: ExitName
  readonly cause?: unknown
}

/** Thrown by a verb and printed once, by the program that ran it. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly why: string
  readonly next: string
  readonly exit: number
  /** Facts for --json. */
  readonly facts: Readonly<Record<string, unknown>>

  constructor(
    parts: FailureParts,
    exit = exitCode(parts.exit ?? 'failed'),
    facts: Readonly<Record<string, unknown>> = {},
  ) {
    super(parts.what, { cause: parts.cause })
    this.why = parts.why ?? ''
    this.next = parts.next ?? ''
    this.exit = exit
    this.facts = facts
  }
}

export function usageFailure(what: string, next = ''): Failure {
  return new Failure({ what, next, exit: 'usage' })
}

/** A name that should mean one thing and means none, which pond knows, or several, which more letters would part. */
export function nameFailure(count: number, kind: string, { given, next }: { given: string; next: string }): Failure {
  const what = count === 0 ? `no ${kind} is called ${given}` : `${count} ${kind}s are called ${given}`
  return new Failure({ what, next, exit: count === 0 ? 'failed' : 'usage' })
}

/** `doing` completes "could not …". */
export function callFailure(doing: string, error: CallError): Failure {
  const { code, message, details, help, status, requestId } = error
  const next = sayDetails(error) ?? help
  return new Failure({ what: `could not ${doing}`, why: message, next }, exitOfError(error), {
    code,
    message,
    details,
    help,
    ...(status === undefined ? {} : { status }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
  })
}

/** The table's help names fields of the details, which a person does not see. */
function sayDetails({ code, details, help }: CallError): string | undefined {
  if (help !== errorTable[code as ErrorCode]?.help) return undefined
  const { field, state } = details
  if (code === 'invalid_field' && typeof field === 'string' && field !== '') return `Mend ${field}.`
  if (code === 'not_possible' && typeof state === 'string') return `It is ${state}, which does not allow this.`
  return undefined
}
