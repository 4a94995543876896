// The machine that a swarm runs on: its disk and its processes outlive swarm, it crashes, loses power, drains, and comes back.
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import type { Executor } from '../../src/executor/contract.ts'
import type { KeyKind } from '../../src/orchestrator/key.ts'
import {
  createSwarm,
  openHome,
  openLiveBinding,
  pair,
  type Swarm,
  type SwarmParts,
} from '../../src/orchestrator/swarm.ts'
import type { WorkerClass } from '../../src/protocol/field.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import type { SignCall } from '../../src/seal/request-signature.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import type { Disk } from '../../src/system/disk.ts'
import type { HttpReply, HttpRequest, Network } from '../../src/system/network.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { sealingPair } from '../harness/seal.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { signingPairOf } from '../harness/signing-key.ts'
import { drawGear, type Gear } from './gear.ts'
import { createLid, type Lid } from './lid.ts'
import { createLife, type Life } from './life.ts'
import { createLoad, type Load } from './load.ts'
import type { SimulatedNetwork } from './network.ts'
import type { Place } from './place.ts'
import type { Crash } from './pond-host.ts'
import { createMachine, type Machine, type Run } from './program.ts'
import { ATTACKER } from './wire-watch.ts'

export interface SwarmHost {
  readonly name: string
  readonly machine: Machine
  readonly gear: Gear
  readonly load: Load
  /** Up and awake, and takes jobs as far as its owner goes. */
  isOpen(): boolean
  pair(code: string): Promise<void>
  start(): Promise<void>
  /** Now, or at one of its next calls to disk, network or executor. */
  crash(kind: Crash, inCalls?: number): void
  drain(deadlineMs: number): void
  /** Stops for so long; its processes go on. */
  stall(forMs: number): void
  /** The whole machine sleeps for so long, if it is one that does: its processes too, and what it measures stands still. */
  nap(forMs: number): void
  isAsleep(): boolean
  /** Takes no jobs for so long. */
  pause(forMs: number): void
  /** A client with its token and key, for who holds them and means ill. */
  impersonate(): Promise<Client | undefined>
  /** Nothing on its disk is a secret in the clear. */
  searchDisk(): void
  /** Power cuts and faults of its disk: reasons why output may be lost. */
  mishaps(): number
}

/** Parts between swarm and its world, so that a test can plant a bug. */
export interface SwarmPlant {
  readonly client?: (client: Client) => Client
  readonly disk?: (disk: Disk) => Disk
  readonly executor?: (executor: Executor) => Executor
}

interface SwarmHostParts {
  readonly place: Place
  readonly name: string
  readonly network: SimulatedNetwork
  readonly started: (run: Run) => void
  readonly isLive: (claimId: string) => boolean
  readonly plant?: SwarmPlant | undefined
}

const HOUR_MS = 60 * 60 * 1000
const HOME = '/home/swarm'
const POND = 'http://127.0.0.1:7460'

export const createSwarmHost = (parts: SwarmHostParts): SwarmHost => new SimulatedSwarm(parts)

class SimulatedSwarm implements SwarmHost {
  readonly name: string
  readonly machine: Machine
  readonly gear: Gear
  readonly load: Load
  readonly #place: Place
  readonly #plant: SwarmPlant
  readonly #network: SimulatedNetwork
  readonly #wire: Network
  readonly #disk = createMemoryDisk()
  readonly #lid: Lid
  readonly #class: WorkerClass
  #current: { readonly life: Life; swarm?: Swarm } | undefined
  #kind: Crash = 'kill'
  #mishaps = 0
  #pausedUntil = 0
  /** The wall clock of one machine in three is wrong by up to an hour. */
  readonly #aheadMs: number

  constructor({ place, name, network, started, isLive, plant = {} }: SwarmHostParts) {
    const { clock, random, dice, weather, history } = place
    this.name = name
    this.#place = place
    this.#plant = plant
    this.#network = network
    this.#wire = network.connect(name)
    this.#aheadMs = random.number() < 1 / 3 ? (random.number() - 0.5) * 2 * HOUR_MS : 0
    this.#lid = createLid(clock)
    this.#class = random.number() < weather().laptops ? 'laptop' : 'server'
    const { slots, needs } = place.storm
    this.gear = drawGear(dice, { host: name, slots, needs })
    this.machine = createMachine({
      ...{ clock: this.#lid.clock, random, host: name, gpus: this.gear.gpus, started, note: history.note },
      began: (run) => this.load.began(run),
    })
    this.load = createLoad({
      ...{ place, host: name, gear: this.gear, isLive },
      runs: () => this.machine.runs,
      swarm: () => this.#current?.swarm,
    })
    this.#disk.gate = () => sleep(this.#lid.clock, random.number() * 4)
    this.#disk.dice = () => random.number()
    this.#disk.fault = (operation) => this.#diskFault(operation)
  }

  async pair(code: string): Promise<void> {
    const { random } = this.#place
    const home = await openHome(this.#disk, HOME)
    const resources = { slots: this.gear.slots }
    await pair(
      { home, makeKeyPair: (kind) => makeKeyPair(kind, random.bytes(32)), connect: (sign) => this.#connect({ sign }) },
      { pond: POND, code, name: this.name, labels: this.gear.labels, resources },
    )
  }

  async start(): Promise<void> {
    const { random, history } = this.#place
    const life = createLife({ clock: this.#lid.clock, random, died: () => this.#died() })
    this.#current = { life }
    const failed = (error: unknown) => history.note('swarm_failed', { host: this.name, error: String(error) })
    await Promise.race([this.#live(life).catch(failed), life.over])
    // It ended by itself, so nothing that it does from here on may reach the world.
    life.die()
  }

  crash(kind: Crash, inCalls = 0): void {
    this.#kind = kind
    if (inCalls > 0) this.#current?.life.fuse(inCalls)
    else this.#current?.life.die()
  }

  drain(deadlineMs: number): void {
    this.#place.history.note('drain', { host: this.name, deadline_ms: Math.round(deadlineMs) })
    this.#current?.swarm?.drain({ deadlineMs })
  }

  stall(forMs: number): void {
    this.#place.history.note('swarm_stalled', { host: this.name, for_ms: Math.round(forMs) })
    this.#current?.life.stall(forMs)
  }

  nap(forMs: number): void {
    if (this.#class !== 'laptop') return
    this.#place.history.note('nap', { host: this.name, for_ms: Math.round(forMs) })
    this.#lid.close(forMs)
    // By its own time, which stands still: until it wakes it hears nothing.
    this.#current?.life.stall(1)
  }

  isOpen(): boolean {
    return !this.isAsleep() && this.#current?.swarm?.status().state === 'ready'
  }

  isAsleep(): boolean {
    return this.#lid.isClosed()
  }

  pause(forMs: number): void {
    this.#place.history.note('pause', { host: this.name, for_ms: Math.round(forMs) })
    this.#tell((swarm) => swarm.pause())
    this.#pausedUntil = this.#place.clock.monotonic() + forMs
    this.#place.clock.after(forMs, () => this.#resumeWhenDue())
  }

  /** Its owner says so again to a swarm that was down when he did. */
  #resumeWhenDue(): void {
    if (this.#place.clock.monotonic() >= this.#pausedUntil) this.#tell((swarm) => swarm.resume())
  }

  /** Where the disk fails, the owner is told, and leaves it at that. */
  #tell(ask: (swarm: Swarm) => Promise<void>): void {
    const { swarm } = this.#current ?? {}
    if (swarm)
      ask(swarm).catch((error: unknown) =>
        this.#place.history.note('not_done', { host: this.name, error: String(error) }),
      )
  }

  async impersonate(): Promise<Client | undefined> {
    // Where the disk fails him, he holds nothing.
    const binding = await openHome(this.#disk, HOME)
      .then(openLiveBinding)
      .catch(() => undefined)
    return binding && this.#connect({ token: binding.token, sign: binding.signCall }, { as: ATTACKER })
  }

  mishaps(): number {
    return this.#mishaps
  }

  searchDisk(): void {
    const { isSecret } = this.#place
    for (const { path, bytes } of this.#disk.contents())
      if (isSecret(path) || isSecret(bytes)) this.#place.violate('no_secret_at_rest', { host: this.name, path })
  }

  async #live(life: Life): Promise<void> {
    const { history } = this.#place
    const disk = life.mortal(this.#plant.disk?.(this.#disk) ?? this.#disk)
    const home = await openHome(disk, HOME)
    const unlock = await home.lock()
    const binding = await openLiveBinding(home)
    if (!binding) throw new Error('a started swarm is paired')
    const client = this.#connect({ token: binding.token, sign: binding.signCall }, { life })
    const swarm = this.#createSwarm(life, { disk, home, binding, client })
    if (this.#current?.life === life) this.#current.swarm = swarm
    history.note('swarm_up', { host: this.name })
    this.#resumeWhenDue()
    const end = await swarm.run()
    history.note('swarm_ended', { host: this.name, ...end })
    if (end.reason !== 'drained') this.#place.violate('no_end_unasked', { host: this.name, ...end })
    await unlock()
  }

  #createSwarm(life: Life, own: Pick<SwarmParts, 'disk' | 'home' | 'binding' | 'client'>): Swarm {
    const { random, log } = this.#place
    const { slots, cpus, memory_bytes, os, arch } = this.gear
    const client = this.#plant.client?.(own.client) ?? own.client
    const executor = this.machine.executor(() => life.alive())
    return createSwarm({
      ...own,
      // A world in which nobody asks for anything goes its way without another ear.
      client: this.#place.storm.needs > 0 ? this.load.watched(client) : client,
      clock: this.#ownTime(life.clock),
      random: createSeededRandom(random.bytes(4).readUInt32LE()),
      log: log(this.name),
      executor: life.mortal(this.#plant.executor?.(executor) ?? executor),
      host: {
        ...{ os, arch },
        resources: { cpus, memory_bytes },
        version: '0.0.0',
        load: () => 0,
      },
      // Its processes see each other in this world, and have nothing to tell.
      options: { slots, class: this.#class, allowUnsandboxed: true },
    })
  }

  #connect(
    proof: { readonly sign: SignCall; readonly token?: string | (() => string) },
    { life, as = this.name }: { readonly life?: Life; readonly as?: string } = {},
  ): Client {
    const { clock, random, log } = this.#place
    const heard: Network = as === this.name ? (request) => this.#hear(request) : this.#network.connect(as)
    return createClient({
      network: life ? life.mortal(heard) : heard,
      clock: this.#ownTime(life?.clock ?? clock),
      random: createSeededRandom(random.bytes(4).readUInt32LE()),
      log: log(as),
      baseUrl: POND,
      version: '0.0.0',
      ...proof,
    })
  }

  #ownTime(clock: Clock): Clock {
    return { ...clock, now: () => Math.floor(clock.now() + this.#aheadMs) }
  }

  /** A swarm that polls has swept. */
  #hear(request: HttpRequest): Promise<HttpReply> {
    const left = request.url.endsWith('/poll') ? this.machine.runs.filter((run) => run.orphaned && !run.exit) : []
    for (const { plan } of left)
      this.#place.violate('nothing_of_a_former_life_runs', { host: this.name, claim: plan.claimId })
    return this.#wire(request)
  }

  #died(): void {
    const { random, weather, history } = this.#place
    this.#current = undefined
    history.note('swarm_died', { host: this.name, kind: this.#kind })
    this.machine.orphan()
    this.searchDisk()
    this.#disk.processEnd()
    if (this.#kind === 'power') {
      this.#mishaps++
      this.#disk.powerCut()
      this.machine.powerCut()
    }
    this.#kind = 'kill'
    const { calm, awayMs } = weather()
    this.#lid.clock.after(100 + random.number() ** 3 * (calm ? 100 : awayMs), () => void this.start())
  }

  #diskFault(operation: string): Error | undefined {
    const { random, weather, history } = this.#place
    if (!this.#current?.swarm || random.number() >= weather().diskFault) return undefined
    this.#mishaps++
    history.note('disk_fault', { host: this.name, operation })
    // A name needs no room of its own.
    const code = operation !== 'syncFolder' && random.number() < 0.5 ? 'ENOSPC' : 'EIO'
    return Object.assign(new Error('a fault of the disk'), { code })
  }
}

/** The same pair for the same seed. */
const makeKeyPair = async (kind: KeyKind, seed: Buffer): Promise<KeyPair> =>
  kind === 'ed25519' ? signingPairOf(seed) : sealingPair(seed.toString('hex'))
