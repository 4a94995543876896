// libsodium, loaded once and late: its start costs tens of milliseconds that most verbs need not pay.
import type Sodium from 'libsodium-wrappers'

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
