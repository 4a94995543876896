// The law of a final word's proof: what it is worth with the attestation that it came with, or without one. Pure.
import type { Verdict } from './job.ts'

/** `good`: signed with the pinned key, and it says the same as the word. `bad`: it does not. `none`: nothing is signed about this claim. */
export type Proof = 'good' | 'bad' | 'none'

/** Only success needs a proof: a failure gains nobody anything. A bad one was meant to deceive, or a machine is broken. */
export function judgeProof(verdict: Verdict, proof: Proof, required: boolean): Verdict {
  switch (proof) {
    case 'good':
      return verdict
    case 'bad':
      return unproved
    case 'none':
      return required && verdict.cause === 'exit' && verdict.rc === 0 ? unproved : verdict
    default:
      return proof satisfies never
  }
}

const unproved: Verdict = { cause: 'bad_signature' }
