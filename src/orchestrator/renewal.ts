// When token and keys are replaced: the token when three quarters of its life are over, when pond asks, and before anything else where it must be.
import type { Client } from '../client/contract.ts'
import { sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Random } from '../system/random.ts'
import { createBell } from './bell.ts'
import { createCallKeeper } from './call-key.ts'
import { createLastingClient, type Mended } from './lasting-client.ts'
import { isPending, type Rotated, type RotationParts, renewAt, rotate } from './rotation.ts'

export interface Renewal {
  /** Finishes a rotation whose reply was lost, and replaces a token that is over. Nothing is said to pond before. */
  prepare(): Promise<void>
  /** Until swarm ends. */
  run(): Promise<void>
  /** Pond answered a poll: a good time to agree on a call key, where one is due. */
  heard(): void
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

export interface RenewalParts extends RotationParts {
  readonly log: Log
  readonly random: Random
  /** Swarm ends. */
  readonly signal: AbortSignal
}

export const createRenewal = (parts: RenewalParts): Renewal => new TokenRenewal(parts)

class TokenRenewal implements Renewal {
  readonly client: Client
  readonly heard: () => void
  readonly #parts: RenewalParts
  readonly #bell = createBell()
  #wanted = false
  /** When the token that ends then is due. */
  #planned: { readonly of: number; readonly at: number } | undefined
  /** New tokens without new keys are one for all who want one. */
  #renewing: Promise<Rotated> | undefined

  constructor(parts: RenewalParts) {
    this.#parts = parts
    const { client, clock, live } = parts
    this.heard = createCallKeeper(parts)
    this.client = createLastingClient(client, { clock, proof: live.proof, mend: (proof) => this.#mend(proof) })
  }

  async prepare(): Promise<void> {
    const { live } = this.#parts
    const { token_expires_at = Number.POSITIVE_INFINITY } = live.now()
    const pending = isPending(live.keys())
    if (pending || token_expires_at <= this.#pondNow()) await this.#renew(pending)
  }

  async run(): Promise<void> {
    const { clock, signal } = this.#parts
    signal.addEventListener('abort', this.#bell.ring, { once: true })
    while (!signal.aborted) {
      const waitMs = this.#wanted ? 0 : await this.#dueIn()
      if (waitMs > 0) {
        await (Number.isFinite(waitMs) ? this.#bell.waitAtMost(clock, waitMs) : this.#bell.wait())
        continue
      }
      const rotated = await this.#renewToken()
      await sleep(clock, rotated.ok || rotated.unkept ? REST_MS : REFUSED_MS, signal)
      this.#wanted = false
    }
    signal.removeEventListener('abort', this.#bell.ring)
  }

  asked(): void {
    this.#wanted = true
    this.#bell.ring()
  }

  rotateKeys(): Promise<Rotated> {
    return this.#renew(true)
  }

  #pondNow(): number {
    const { client, clock } = this.#parts
    return clock.now() + client.skewMs()
  }

  #renewToken(): Promise<Rotated> {
    this.#renewing ??= this.#renew(false).finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renew(keys: boolean): Promise<Rotated> {
    const { live, log, signal } = this.#parts
    const rotated = await rotate(this.#parts, { keys, signal }).catch(notKept)
    this.#wanted = false
    if (rotated.ok) log.info('rotated', { keys, token_expires_at: live.now().token_expires_at })
    else if (!signal.aborted) log.warn('rotate_failed', { code: rotated.error?.code, message: rotated.message })
    return rotated
  }

  /** Milliseconds until the token is due; a token without an end never is. */
  async #dueIn(): Promise<number> {
    const { live, log } = this.#parts
    const { token_expires_at, token_renew_at } = live.now()
    if (token_expires_at === undefined) return Number.POSITIVE_INFINITY
    if (token_renew_at !== undefined) return token_renew_at - this.#pondNow()
    if (this.#planned?.of !== token_expires_at)
      this.#planned = { of: token_expires_at, at: renewAt(this.#pondNow(), token_expires_at) }
    const { at } = this.#planned
    // Written down so that a swarm which is started anew often does not put it off each time; while the disk takes nothing, this one knows.
    await live
      .alone(() => live.keep({ binding: { ...live.now(), token_renew_at: at } }))
      .catch((error: unknown) => log.warn('binding_not_kept', { error: String(error) }))
    return at - this.#pondNow()
  }

  /** Pond refused a call with this proof: it forgot the call key, as in a restart, or the token's life is over, as after a long sleep. */
  async #mend(proof: string): Promise<Mended> {
    const { live, signal } = this.#parts
    const { token_expires_at = Number.POSITIVE_INFINITY } = live.now()
    if (live.proof() !== proof) return 'replaced'
    const dropped = live.dropCallKey()
    if (token_expires_at > this.#pondNow()) return dropped ? 'replaced' : 'refused'
    const rotated = await this.#renewToken()
    if (rotated.ok) return 'replaced'
    return rotated.unkept || signal.aborted ? 'later' : 'refused'
  }
}
