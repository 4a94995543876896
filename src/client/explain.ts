// Why a call came to nothing, in the words of the innermost error, and how far it got.

/** The total time for a call ran out, its body included. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
  readonly code = 'DEADLINE'

  constructor(message: string) {
    super(message)
  }
}

/** `unsent`: there was no connection. `cut`: it broke. `silent`: the deadline passed without a reply, or without its end. */
export type Loss = 'unsent' | 'cut' | 'silent'

/** The innermost cause is what a person can act on; undici and Node wrap it. */
export function explain(error: unknown): string {
  const inner = innermost(error)
  if (!(inner instanceof Error)) return String(inner)
  return inner.message || ('code' in inner ? String(inner.code) : inner.name)
}

function innermost(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause
  return inner instanceof Error ? innermost(inner) : error
}

const unsent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOENT',
  'UND_ERR_CONNECT_TIMEOUT',
])

export function lossOf(error: unknown): Loss {
  const inner = innermost(error)
  if (inner instanceof DeadlineError) return 'silent'
  return inner instanceof Error && 'code' in inner && unsent.has(String(inner.code)) ? 'unsent' : 'cut'
}
