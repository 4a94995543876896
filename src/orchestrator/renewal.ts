// When token and keys are replaced: the token when three quarters of its life are over, when pond asks, and before anything else where it must be.
import type { Client } from '../client/contract.ts'
import { sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { createBell } from './bell.ts'
import { createLastingClient, type Mended } from './lasting-client.ts'
import { isPending, type Rotated, type RotationParts, renewAt, rotate } from './rotation.ts'

export interface Renewal {
  /** Finishes a rotation whose reply was lost, and replaces a token that is over. Nothing is said to pond before. */
  prepare(): Promise<void>
  /** Until swarm ends. */
  run(): Promise<void>
  /** Pond asks for it, in every reply until it is done. */
  asked(): void
  /** New keys too. */
  rotateKeys(): Promise<Rotated>
  /** Its calls outlast the token: what pond refuses because the token ran out waits for the next one. */
  readonly client: Client
}

/** Between two rotations: a reply that was on its way may still ask for the one that is done. */
const REST_MS = 60_000
/** After a refusal that will not mend by itself soon. */
const REFUSED_MS = 60 * 60 * 1000

/** Pond answered, and the disk took nothing of it: the old token and keys live on, and pond does it once more when it is asked again. */
const notKept = (error: unknown): Rotated => ({
  ok: false,
  unkept: true,
  message: `nothing was kept: ${String(error)}`,
})

/** `signal`: swarm ends. */
export function createRenewal(parts: RotationParts & { readonly log: Log; readonly signal: AbortSignal }): Renewal {
  const { client, clock, live, log, signal } = parts
  const bell = createBell()
  let wanted = false
  /** When the token that ends then is due. */
  let planned: { readonly of: number; readonly at: number } | undefined
  const pondNow = () => clock.now() + client.skewMs()

  /** New tokens without new keys are one for all who want one. */
  let renewing: Promise<Rotated> | undefined

  function renewToken(): Promise<Rotated> {
    renewing ??= renew(false).finally(() => {
      renewing = undefined
    })
    return renewing
  }

  async function renew(keys: boolean): Promise<Rotated> {
    const rotated = await rotate(parts, { keys, signal }).catch(notKept)
    wanted = false
    if (rotated.ok) log.info('rotated', { keys, token_expires_at: live.now().token_expires_at })
    else if (!signal.aborted) log.warn('rotate_failed', { code: rotated.error?.code, message: rotated.message })
    return rotated
  }

  /** Milliseconds until the token is due; a token without an end never is. */
  async function dueIn(): Promise<number> {
    const { token_expires_at, token_renew_at } = live.now()
    if (token_expires_at === undefined) return Number.POSITIVE_INFINITY
    if (token_renew_at !== undefined) return token_renew_at - pondNow()
    if (planned?.of !== token_expires_at) planned = { of: token_expires_at, at: renewAt(pondNow(), token_expires_at) }
    const { at } = planned
    // Written down so that a swarm which is started anew often does not put it off each time; while the disk takes nothing, this one knows.
    await live
      .alone(() => live.keep({ binding: { ...live.now(), token_renew_at: at } }))
      .catch((error: unknown) => log.warn('binding_not_kept', { error: String(error) }))
    return at - pondNow()
  }

  /** Pond refused a call with this token. Where its life is over, as after a long sleep, it is replaced now. */
  async function mend(token: string): Promise<Mended> {
    const { token: now, token_expires_at = Number.POSITIVE_INFINITY } = live.now()
    if (now !== token) return 'replaced'
    if (token_expires_at > pondNow()) return 'refused'
    const rotated = await renewToken()
    if (rotated.ok) return 'replaced'
    return rotated.unkept || signal.aborted ? 'later' : 'refused'
  }

  return {
    async prepare() {
      const { token_expires_at = Number.POSITIVE_INFINITY } = live.now()
      if (isPending(live.keys()) || token_expires_at <= pondNow()) await renew(isPending(live.keys()))
    },
    async run() {
      signal.addEventListener('abort', bell.ring, { once: true })
      while (!signal.aborted) {
        const waitMs = wanted ? 0 : await dueIn()
        if (waitMs > 0) {
          await (Number.isFinite(waitMs) ? bell.waitAtMost(clock, waitMs) : bell.wait())
          continue
        }
        const rotated = await renewToken()
        await sleep(clock, rotated.ok || rotated.unkept ? REST_MS : REFUSED_MS, signal)
        wanted = false
      }
      signal.removeEventListener('abort', bell.ring)
    },
    asked() {
      wanted = true
      bell.ring()
    },
    rotateKeys: () => renew(true),
    client: createLastingClient(client, { clock, token: live.token, mend }),
  }
}
