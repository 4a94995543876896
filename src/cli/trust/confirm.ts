// How a person says that a key is the right one: by a fingerprint brought along, by eye on a terminal, or by --yes unseen.
import { Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'

export interface ConfirmFlags {
  /** As its owner told it. */
  readonly fingerprint?: string
  readonly yes?: boolean
}

/** `what` is whose key it is, `shown` its fingerprint as computed here. */
export async function requireRight(
  io: Io,
  { what, shown }: { readonly what: string; readonly shown: string },
  { fingerprint, yes }: ConfirmFlags,
): Promise<void> {
  if (fingerprint !== undefined) {
    if (bare(fingerprint) === bare(shown)) return
    throw new Failure({
      what: `the key of ${what} is not the one that was named`,
      why: `its fingerprint is ${shown}`,
      next: 'Do not trust it; ask its owner again.',
    })
  }
  if (yes) return
  await requireYes(io, {
    question: `${what} has the fingerprint ${shown}. Is it the one that its owner sees?`,
    flag: '--fingerprint, or --yes to trust it unseen',
  })
}

/** Off a terminal nobody can be asked, so a flag must have said it. */
export async function requireYes(
  io: Io,
  { question, flag }: { readonly question: string; readonly flag: string },
): Promise<void> {
  if (!io.stdin.isTty) throw usageFailure(`${question} Nobody is here to say so`, `Give ${flag}.`)
  const answer = await io.choose(question, [
    { value: 'no', label: 'no' },
    { value: 'yes', label: 'yes' },
  ])
  if (answer !== 'yes') throw new Failure({ what: 'nothing was changed', why: 'the answer was not yes' })
}

/** People leave dashes out, or type capitals. */
const bare = (text: string) => text.toLowerCase().replace(/[^0-9a-f]/g, '')
