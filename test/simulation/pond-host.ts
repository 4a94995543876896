// The machine that pond runs on: its store and its streams outlive it, it crashes, and it comes back.

import type { Blobs } from '../../server/blob/contract.ts'
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { createPond, type Pond } from '../../server/pond.ts'
import type { Store } from '../../server/store/contract.ts'
import { sleep } from '../../src/system/clock.ts'
import { createMemoryDevice, type MemoryDevice, openMemoryBlobs } from '../harness/memory-blobs.ts'
import {
  type CommitFault,
  createMemoryDatabase,
  type MemoryDatabase,
  openMemoryStore,
} from '../harness/memory-store.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createLife, type Life } from './life.ts'
import type { Place } from './place.ts'

export interface PondHost {
  readonly database: MemoryDatabase
  readonly device: MemoryDevice
  /** Of the first start. */
  readonly adminToken: string
  start(): Promise<void>
  /** Undefined when no pond is up, or when it dies over it. */
  answer(request: PondRequest): Promise<PondReply | undefined>
  /** Dies now, or at one of its next calls to the store or the streams. */
  crash(inCalls?: number): void
  /** Stops for so long. */
  stall(forMs: number): void
  /** Chunks and submits find no room for so long. */
  fill(forMs: number): void
}

/** Parts between pond and its store, so that a test can plant a bug. */
export interface PondPlant {
  readonly store?: (store: Store, database: MemoryDatabase) => Store
  readonly blobs?: (blobs: Blobs, device: MemoryDevice) => Blobs
  readonly crashed?: (database: MemoryDatabase, device: MemoryDevice) => void
}

const keys = { tokenKey: Buffer.alloc(32, 7), publicKey: 'P'.repeat(43) }

export function createPondHost(place: Place, plant: PondPlant = {}): PondHost {
  const { clock, random, weather, history } = place
  const database = createMemoryDatabase()
  const device = createMemoryDevice()
  let current: { readonly life: Life; readonly pond: Pond } | undefined
  let starting: Life | undefined
  let adminToken = ''

  database.fault = () => {
    if (random.number() >= weather().commitFault) return undefined
    const fault = (['lose', 'keep', 'full'] as const)[Math.floor(random.number() * 3)] as CommitFault
    history.note('commit_fault', { fault })
    // Half of them are the last thing that the process does.
    if (fault !== 'full' && random.number() < 0.5) (current?.life ?? starting)?.die()
    return fault
  }
  device.gate = () => sleep(clock, random.number() * 3)

  function died(): void {
    current = undefined
    starting = undefined
    history.note('pond_died')
    plant.crashed?.(database, device)
    clock.after(100 + random.number() * (weather().calm ? 100 : 20_000), () => void host.start())
  }

  const host: PondHost = {
    database,
    device,
    get adminToken() {
      return adminToken
    },
    async start() {
      const life = createLife({ clock, random, died })
      starting = life
      const events = { fatal: () => void clock.after(random.number() * 20, life.die) }
      const store = openMemoryStore(database, { clock: life.clock, events })
      const blobs = openMemoryBlobs(device)
      const opening = createPond({
        store: life.mortal(place.tracked(plant.store?.(store, database) ?? store)),
        blobs: life.mortal(plant.blobs?.(blobs, device) ?? blobs),
        clock: life.clock,
        random: createSeededRandom(random.bytes(4).readUInt32LE()),
        log: place.log('pond'),
        keys,
        settings: weather().settings,
      })
      const pond = await Promise.race([opening, life.over])
      if (!life.alive() || !pond) return
      adminToken ||= pond.adminToken ?? ''
      current = { life, pond }
      history.note('pond_up')
    },
    async answer(request) {
      if (!current) return undefined
      const { life, pond } = current
      await life.awake()
      if (!life.alive()) return undefined
      const reply = await Promise.race([pond.answer(request), life.over])
      return life.alive() ? reply : undefined
    },
    crash(inCalls = 0) {
      const life = current?.life ?? starting
      if (inCalls > 0) life?.fuse(inCalls)
      else life?.die()
    },
    stall(forMs) {
      history.note('pond_stalled', { for_ms: Math.round(forMs) })
      current?.life.stall(forMs)
    },
    fill(forMs) {
      history.note('pond_full', { for_ms: Math.round(forMs) })
      const { roomBytes } = device
      device.roomBytes = 0
      clock.after(forMs, () => {
        device.roomBytes = Math.max(device.roomBytes, roomBytes)
      })
    },
  }
  return host
}
