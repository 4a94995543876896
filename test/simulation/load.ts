// What the jobs of one machine hold of it, told by the machine alone: by the intents that reached its swarm, and by the process trees that live. It never may be
// more than there is.
import type { Client } from '../../src/client/contract.ts'
import type { Swarm } from '../../src/orchestrator/swarm.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import { type Holding, hasItsDevices, overheld, sharedDevices, suitsGear } from './fit.ts'
import type { Gear } from './gear.ts'
import type { Place } from './place.ts'
import type { Run } from './program.ts'

export interface Load {
  /** The same client; what it brings is known from then on. */
  watched(client: Client): Client
  /** A process tree lives from now on. */
  began(run: Run): void
  /** From an intent that reached its swarm in time until its tree has ended. */
  holdings(): readonly Holding[]
}

export interface LoadParts {
  readonly place: Place
  readonly host: string
  readonly gear: Gear
  readonly runs: () => readonly Run[]
  /** Of this moment, where one is up. */
  readonly swarm: () => Swarm | undefined
  /** Whether pond still holds by it. */
  readonly isLive: (claimId: string) => boolean
}

export const createLoad = (parts: LoadParts): Load => new MachineLoad(parts)

class MachineLoad implements Load {
  readonly #parts: LoadParts
  readonly #known = new Map<string, Holding>()
  /** Its swarm said that it starts nothing of them. */
  readonly #declined = new Set<string>()
  /** Pond had taken them back when they came: its swarm may start them, and then everything else waits for them. */
  readonly #late = new Set<string>()

  constructor(parts: LoadParts) {
    this.#parts = parts
  }

  watched(client: Client): Client {
    return { ...client, call: this.#listening(client.call), persist: this.#listening(client.persist) }
  }

  began({ plan }: Run): void {
    const { place, host, gear } = this.#parts
    const own = this.#treeOf(plan)
    const { claimId: claim, jobId: job } = plan
    if (!suitsGear(own.requires, gear) || !hasItsDevices(own, gear))
      place.violate('only_where_its_needs_are_met', { host, claim, job, ...own })
    this.#check()
  }

  holdings(): readonly Holding[] {
    const held = new Map<string, Holding>()
    for (const { claim_id, state } of this.#parts.swarm()?.status().claims ?? []) {
      const holding = this.#known.get(claim_id)
      if (holding && state !== 'ended' && !this.#declined.has(claim_id)) held.set(claim_id, holding)
    }
    for (const { plan } of this.#trees()) held.set(plan.claimId, this.#treeOf(plan))
    for (const claimId of this.#late) held.delete(claimId)
    return [...held.values()]
  }

  #trees(): readonly Run[] {
    return this.#parts.runs().filter(({ exit }) => !exit)
  }

  #treeOf({ claimId, gpus = [] }: Run['plan']): Holding {
    return { requires: this.#known.get(claimId)?.requires ?? {}, gpus }
  }

  #check(): void {
    this.#judge(
      'trees',
      this.#trees().map(({ plan }) => this.#treeOf(plan)),
    )
    this.#judge('claims', this.holdings())
  }

  #judge(what: string, all: readonly Holding[]): void {
    const { place, host, gear } = this.#parts
    const over = overheld(gear, all)
    const shared = sharedDevices(all)
    if (Object.keys(over).length > 0) place.violate('a_machine_is_never_overcommitted', { host, what, ...over })
    if (shared.length > 0) place.violate('a_device_has_one_job', { host, what, shared })
  }

  #listening(ask: Client['persist']): Client['persist'] {
    return (async (name, call, ...more) => {
      this.#say(call?.body)
      const answer = await ask(name, call, ...more)
      if (answer.ok) this.#hear((answer.reply as { intents?: readonly Intent[] }).intents ?? [])
      return answer
    }) as Client['persist']
  }

  #hear(intents: readonly Intent[]): void {
    for (const { claim_id, job, gpus = [] } of intents) {
      const { requires = {} } = JSON.parse(Buffer.from(job, 'base64').toString()) as JobSpec
      this.#known.set(claim_id, { requires, gpus })
      if (!this.#parts.isLive(claim_id)) this.#late.add(claim_id)
    }
    // Once its swarm has them in hand.
    if (intents.length > 0) this.#parts.place.clock.after(0, () => this.#check())
  }

  #say(body: unknown): void {
    const { words = [] } = (body ?? {}) as { words?: readonly { claim_id: string; state: string }[] }
    for (const { claim_id, state } of words) if (state === 'declined') this.#declined.add(claim_id)
  }
}
