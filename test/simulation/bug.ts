// Deliberate bugs, planted between a part and its world: the proof that the checker sees. None of them is in the product.
import type { Blobs } from '../../server/blob/contract.ts'
import type { Store } from '../../server/store/contract.ts'
import type { Client } from '../../src/client/contract.ts'
import type { Executor } from '../../src/executor/contract.ts'
import type { Disk } from '../../src/system/disk.ts'
import type { MemoryDatabase, MemoryRows } from '../harness/memory-store.ts'
import type { Law } from './invariant.ts'
import type { Plant } from './simulation.ts'
import type { Weather } from './weather.ts'

export interface Bug {
  /** The law that it breaks. */
  readonly law: Law
  /** A world in which it shows. */
  readonly seed: number
  /** What must happen for it to show, so that the seed stays good when the product's dice fall otherwise. */
  readonly storm?: Partial<Weather>
  readonly plant: () => Plant
}

/** The store says a write is durable one commit too early. */
function earlyStore(): Plant {
  let last: MemoryRows | undefined
  const watch = (database: MemoryDatabase) => {
    const { committed } = database
    database.committed = (before, after) => {
      last = before
      committed(before, after)
    }
  }
  let watching = false
  return {
    pond: {
      store(store, database) {
        if (!watching) watch(database)
        watching = true
        return store
      },
      crashed(database) {
        if (last) database.rows = last
      },
    },
  }
}

/** The streams lose their last chunk when pond dies. */
const unsyncedBlobs = (): Plant => ({
  pond: {
    crashed(_, device) {
      for (const kept of device.streams.values()) {
        const piece = kept.pieces.pop()
        kept.marks.pop()
        kept.committed -= piece?.length ?? 0
      }
    },
  },
})

/** The second chunk is written with bytes of the first. */
const twiceBlobs = (): Plant => ({
  pond: {
    blobs: (blobs: Blobs, device): Blobs => ({
      ...bound(blobs),
      async append(key, chunks) {
        const stat = await blobs.append(key, chunks)
        const kept = device.streams.get(`${key.claimId} ${key.name}`)
        const first = kept?.pieces[0]
        if (kept && first && kept.pieces.length === 2) kept.pieces[1] = Buffer.alloc(kept.pieces[1]?.length ?? 0, first)
        return stat
      },
    }),
  },
})

/** A restarted pond forgets which claims are live. */
const forgetfulStore = (): Plant => ({
  pond: {
    store: (store: Store): Store => ({
      ...store,
      read: (work) => store.read((tx) => work(Object.create(tx, { listLiveClaims: { value: async () => [] } }))),
    }),
  },
})

/** Swarm takes a start that pond did not answer for one that pond accepted. */
const boldClient = (): Plant => ({
  swarm: {
    client: (client: Client): Client => ({
      ...client,
      persist: (async (name, call, onRetry) => {
        const words = (call?.body as { words?: readonly { state: string }[] } | undefined)?.words
        if (name !== 'sendWords' || !words?.every(({ state }) => state === 'running'))
          return await client.persist(name, call, onRetry)
        void client.call(name, call)
        const outcomes = words.map(() => ({ outcome: 'accepted' as const }))
        return { ok: true, status: 200, headers: {}, reply: { outcomes } }
      }) as Client['persist'],
    }),
  },
})

/** What a former life left running is not looked for. */
const lazySweep = (): Plant => ({
  swarm: { executor: (executor: Executor): Executor => ({ ...executor, sweep: async () => 0 }) },
})

/** A plan is started twice. */
const doubleStart = (): Plant => ({
  swarm: {
    executor: (executor: Executor): Executor => ({
      ...executor,
      async start(plan, watch) {
        void executor.start(plan, { output() {}, event() {} })
        return await executor.start(plan, watch)
      },
    }),
  },
})

/** The spool loses what was appended after its first piece. */
const shortDisk = (): Plant => ({
  swarm: {
    disk: (disk: Disk): Disk => ({
      ...bound(disk),
      async open(path) {
        const file = await disk.open(path)
        const spool = path.endsWith('stdout')
        return { ...file, append: async (...pieces) => (spool && file.size() > 0 ? undefined : file.append(...pieces)) }
      },
    }),
  },
})

/** A copy whose methods may be replaced one by one. */
function bound<T extends object>(thing: T): T {
  const names = [...Object.keys(thing), ...Object.getOwnPropertyNames(Object.getPrototypeOf(thing))] as (keyof T)[]
  const methods = names.flatMap((name) => {
    const value = thing[name]
    return typeof value === 'function' && name !== 'constructor' ? [[name, value.bind(thing)]] : []
  })
  return Object.fromEntries(methods) as T
}

const crashingPond = { calm: false, pondCrashes: 4 }
/** One busy machine whose swarm dies often and is back before its processes end, and nothing else keeps jobs from it. */
const restartingSwarm = {
  ...{ calm: false, swarms: 1, slots: 4, jobs: 24, swarmCrashes: 40, awayMs: 1000 },
  ...{ pondCrashes: 0, partitions: 0, drains: 0, pauses: 0, stalls: 0 },
  ...{ dropRequest: 0, dropReply: 0, foreign: 0, diskFault: 0 },
}

export const bugs: Readonly<Record<string, Bug>> = {
  'a store that acknowledges before it is durable': {
    law: 'acknowledged_job_stays',
    seed: 3,
    storm: crashingPond,
    plant: earlyStore,
  },
  'streams that acknowledge before they are durable': {
    law: 'acknowledged_bytes_stay',
    seed: 3,
    storm: crashingPond,
    plant: unsyncedBlobs,
  },
  'a chunk stored in the place of another': { law: 'a_stream_is_a_prefix', seed: 3, plant: twiceBlobs },
  'a pond that forgets its live claims over a restart': {
    law: 'all_ends_after_the_storm',
    seed: 1,
    storm: crashingPond,
    plant: forgetfulStore,
  },
  'a swarm that starts what pond has not accepted': { law: 'not_before_pond_accepted', seed: 3, plant: boldClient },
  'a swarm that does not sweep': {
    law: 'nothing_of_a_former_life_runs',
    seed: 3,
    storm: restartingSwarm,
    plant: lazySweep,
  },
  'a job started twice under one claim': { law: 'a_claim_starts_once', seed: 3, plant: doubleStart },
  'a spool that drops bytes': { law: 'capped_is_the_prefix', seed: 3, plant: shortDisk },
}
