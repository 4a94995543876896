// The machine that pond runs on: its store and its streams outlive it, it crashes, and it comes back.

import type { Blobs } from '../../server/blob/contract.ts'
import { makePondKeys } from '../../server/data.ts'
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { createPond, type Pond } from '../../server/pond.ts'
import type { Store } from '../../server/store/contract.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import { type AppendFault, createMemoryDevice, type MemoryDevice, openMemoryBlobs } from '../harness/memory-blobs.ts'
import {
  type CommitFault,
  createMemoryDatabase,
  type MemoryDatabase,
  openMemoryStore,
  type StatementFault,
} from '../harness/memory-store.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createLife, type Life } from './life.ts'
import type { Place } from './place.ts'

export type Crash = 'kill' | 'power'

export interface PondHost {
  readonly database: MemoryDatabase
  readonly device: MemoryDevice
  /** Of the first start. */
  readonly adminToken: string
  start(): Promise<void>
  /** Up, and not suspended. */
  listens(): boolean
  /** Each of its deaths, stalls and failed writes makes another. */
  faults(): number
  /** Undefined when no pond is up, or when it dies over it. */
  answer(request: PondRequest): Promise<PondReply | undefined>
  /** Dies now, or at one of its next calls to the store or the streams. */
  crash(kind: Crash, inCalls?: number): void
  /** Stops for so long. */
  stall(forMs: number): void
  /** Chunks and submits find no room for so long. */
  fill(forMs: number): void
}

/** Parts between pond and its store, so that a test can plant a bug. */
export interface PondPlant {
  readonly store?: (store: Store, database: MemoryDatabase) => Store
  readonly blobs?: (blobs: Blobs, device: MemoryDevice) => Blobs
  readonly clock?: (clock: Clock, sweepMs: number) => Clock
  readonly reply?: (reply: PondReply) => PondReply
  readonly crashed?: (database: MemoryDatabase, device: MemoryDevice) => void
}

/** Of private halves that are 32 times the byte 07. */
const privateKey = 'BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc'
/** Pond's own default. */
const SWEEP_MS = 1000

export const pondKeys = makePondKeys({
  tokenKey: Buffer.alloc(32, 7),
  signing: { publicKey: '6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw', privateKey },
  sealing: [{ publicKey: 'E75P6uryBMf9M1j8nAByGIHRdCeBKCJ-xnTzf3_pe20', privateKey }],
})

/** Loaded before the first pond: what reads a real file has no place in simulated time. */
await loadSodium()

export const createPondHost = (place: Place, plant: PondPlant = {}): PondHost => new SimulatedPond(place, plant)

class SimulatedPond implements PondHost {
  readonly database = createMemoryDatabase()
  readonly device = createMemoryDevice()
  adminToken = ''
  readonly #place: Place
  readonly #plant: PondPlant
  #current: { readonly life: Life; readonly pond: Pond } | undefined
  #starting: Life | undefined
  #kind: Crash = 'kill'
  #faults = 0

  constructor(place: Place, plant: PondPlant) {
    this.#place = place
    this.#plant = plant
    this.database.fault = () => this.#commitFault()
    this.database.statementFault = () => this.#statementFault()
    this.device.fault = () => this.#appendFault()
    this.device.spared = (chunks) => Math.floor(place.random.number() * (chunks + 1))
    this.device.gate = () => sleep(place.clock, place.random.number() * 3)
  }

  async start(): Promise<void> {
    const { clock, random, history } = this.#place
    const life = createLife({ clock, random, died: () => this.#died() })
    this.#starting = life
    const pond = await Promise.race([this.#open(life), life.over])
    if (!life.alive() || !pond) return
    this.adminToken ||= pond.adminToken ?? ''
    this.#current = { life, pond }
    history.note('pond_up')
  }

  listens(): boolean {
    return this.#current !== undefined && this.#current.life.awake() === undefined
  }

  faults(): number {
    return this.#faults
  }

  async answer(request: PondRequest): Promise<PondReply | undefined> {
    if (!this.#current) return undefined
    const { life, pond } = this.#current
    await life.awake()
    if (!life.alive()) return undefined
    const reply = await Promise.race([pond.answer(request), life.over])
    return life.alive() ? reply && (this.#plant.reply?.(reply) ?? reply) : undefined
  }

  crash(kind: Crash, inCalls = 0): void {
    this.#kind = kind
    const life = this.#current?.life ?? this.#starting
    if (inCalls > 0) life?.fuse(inCalls)
    else life?.die()
  }

  stall(forMs: number): void {
    this.#faults++
    this.#place.history.note('pond_stalled', { for_ms: Math.round(forMs) })
    this.#current?.life.stall(forMs)
  }

  fill(forMs: number): void {
    const { device } = this
    const { clock, history } = this.#place
    history.note('pond_full', { for_ms: Math.round(forMs) })
    const { roomBytes } = device
    device.roomBytes = 0
    clock.after(forMs, () => {
      device.roomBytes = Math.max(device.roomBytes, roomBytes)
    })
  }

  #open(life: Life): Promise<Pond> {
    const { clock, random, weather, tracked, log } = this.#place
    const events = { fatal: () => void clock.after(random.number() * 20, () => life.die()) }
    const store = openMemoryStore(this.database, { clock: life.clock, events })
    const blobs = openMemoryBlobs(this.device, events.fatal)
    return createPond({
      store: life.mortal(tracked(this.#plant.store?.(store, this.database) ?? store)),
      blobs: life.mortal(this.#plant.blobs?.(blobs, this.device) ?? blobs),
      clock: this.#plant.clock?.(life.clock, SWEEP_MS) ?? life.clock,
      random: createSeededRandom(random.bytes(4).readUInt32LE()),
      log: log('pond'),
      keys: pondKeys,
      // What is sworn here are the words themselves; no simulated machine signs them.
      settings: weather().settings,
    })
  }

  #died(): void {
    const { clock, random, weather, history } = this.#place
    this.#current = undefined
    this.#starting = undefined
    this.#faults++
    history.note('pond_died', { kind: this.#kind })
    if (this.#kind === 'power') this.device.powerCut()
    this.#kind = 'kill'
    this.#plant.crashed?.(this.database, this.device)
    clock.after(100 + random.number() * (weather().calm ? 100 : 20_000), () => void this.start())
  }

  #commitFault(): CommitFault | undefined {
    const { random, weather, history } = this.#place
    if (random.number() >= weather().commitFault) return undefined
    const fault = (['lose', 'keep', 'full'] as const)[Math.floor(random.number() * 3)] as CommitFault
    this.#faults++
    history.note('commit_fault', { fault })
    // Half of them are the last thing that the process does.
    if (fault !== 'full' && random.number() < 0.5) (this.#current?.life ?? this.#starting)?.die()
    return fault
  }
  #statementFault(): StatementFault {
    const { random, weather, history } = this.#place
    if (random.number() >= weather().statementFault) return undefined
    const fault = (['full', 'error', 'drop'] as const)[Math.floor(random.number() * 3)]
    this.#faults++
    history.note('statement_fault', { fault })
    return fault
  }

  #appendFault(): AppendFault {
    const { random, weather, history } = this.#place
    if (random.number() >= weather().blobFault) return undefined
    const fault = random.number() < 0.5 ? 'full' : 'fsync'
    this.#faults++
    history.note('append_fault', { fault })
    return fault
  }
}
