// libsodium, loaded once and late: its start costs tens of milliseconds that most verbs need not pay.
import type Sodium from 'libsodium-wrappers'
import type { StateAddress } from 'libsodium-wrappers'

export type { Sodium }

let loaded: Promise<typeof Sodium> | undefined

/** Resolves when its functions may be called; they are synchronous from then on. */
export function loadSodium(): Promise<typeof Sodium> {
  loaded ??= import('libsodium-wrappers').then(async ({ default: sodium }) => {
    await sodium.ready
    return sodium
  })
  return loaded
}

/** Frees the state of a secretstream. The wrapper never does: a million streams would hold 62 MB. */
export function freeState(sodium: typeof Sodium, state: StateAddress): void {
  const { libsodium } = sodium as unknown as { readonly libsodium: { readonly _free: (state: StateAddress) => void } }
  libsodium._free(state)
}
