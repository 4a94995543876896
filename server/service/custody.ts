// What consumers hand in sealed: whether it is whole, signed as it says, and for the place at which it is handed in. What it holds stays shut.
import { Refusal } from '../../src/protocol/error.ts'
import type { Context, Dsse, Sealed } from '../../src/protocol/sealed.ts'
import { requireOpenable } from '../../src/seal/envelope.ts'
import { SealError } from '../../src/seal/refusal.ts'
import type { Core } from './core.ts'

/** Either form of either custody. */
export type Handed<T extends Sealed = Sealed> = { readonly sealed: T } | { readonly signed: Dsse }

export interface Vetted<T extends Sealed> {
  readonly sealed: T
  /** Whose custody it is; absent in pond's. */
  readonly signer?: string
  /** The field of the body in which it stands. */
  readonly field: 'sealed' | 'signed'
}

/** Refuses what its own signature, its context or, in pond's custody, its box does not allow here; so a mistake is told before a job depends on it. */
export function vetCustody<T extends Sealed>(
  core: Core,
  handed: Handed<T>,
  asked: { readonly read: () => { readonly sealed: T; readonly signer?: string }; readonly place: Context },
): Vetted<T> {
  const field = 'signed' in handed ? 'signed' : 'sealed'
  const { sealed, signer } = orRefuse(field, asked.read)
  checkPlace(sealed.context, asked.place, `${field}.context`)
  if (signer !== undefined) return { sealed, signer, field }
  orRefuse('sealed.boxes', () => requireOpenable(core.sodium, sealed, { pairs: core.keys.sealing, place: asked.place }))
  return { sealed, field }
}

const says: Readonly<Record<SealError['reason'], string>> = {
  not_for_you: 'it is not sealed to this pond; see GET /v1/whoami for its key',
  damaged: 'it is damaged',
  wrong_place: 'its box names another place',
  bad_signature: 'it is not signed with the key that its context names',
  untrusted: 'its key is not trusted',
  unnamed_recipient: 'it is sealed to others too',
  bad_key: 'nothing can be sealed to its key',
}

/** The consumer may know why: it is his own. */
function orRefuse<T>(field: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    throw new Refusal('invalid_field', `${field}: ${says[error.reason]}`, { field, reason: error.reason })
  }
}

/** Each word of the place by its name: another project's envelope is told from a slip in the name. */
function checkPlace(context: Context, place: Context, field: string): void {
  for (const [key, value] of Object.entries(place)) {
    const said = (context as Readonly<Record<string, unknown>>)[key]
    if (said === value) continue
    const at = `${field}.${key}`
    throw new Refusal('invalid_field', `${at} must be ${value} here, not ${said}`, { field: at })
  }
}
