// Deliberate bugs between pond and its world: its store, its streams, its clock and its front.
import type { Blobs } from '../../server/blob/contract.ts'
import type { Store, WriteTx } from '../../server/store/contract.ts'
import type { JobRow } from '../../server/store/row.ts'
import { causes } from '../../src/protocol/job.ts'
import type { MemoryDatabase, MemoryRows } from '../harness/memory-store.ts'
import { bound } from './bound.ts'
import type { Plant } from './simulation.ts'

const EARLY_COMMITS = 4

/** The store says a write is durable some commits too early. */
export function earlyStore(): Plant {
  const past: MemoryRows[] = []
  const watch = (database: MemoryDatabase) => {
    const { committed } = database
    database.committed = (before, after) => {
      past.push(before)
      if (past.length > EARLY_COMMITS) past.shift()
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
        database.rows = past[0] ?? database.rows
        past.length = 0
      },
    },
  }
}

/** The streams lose their last chunk when pond dies. */
export const unsyncedBlobs = (): Plant => ({
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
export const twiceBlobs = (): Plant => ({
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
export const forgetfulStore = (): Plant => ({
  pond: {
    store: (store: Store): Store => ({
      ...store,
      read: (work) => store.read((tx) => work(Object.create(tx, { listLiveClaims: { value: async () => [] } }))),
    }),
  },
})

/** The store does some statements of a write otherwise. */
export const rewriting = (change: (tx: WriteTx) => Partial<WriteTx>): Plant => ({
  pond: {
    store: (store: Store): Store => ({
      ...store,
      write: (work) =>
        store.write((tx) => {
          const changed = Object.entries(change(tx)).map(([name, value]) => [name, { value }])
          return work(Object.create(tx, Object.fromEntries(changed)) as WriteTx)
        }),
    }),
  },
})

/** It is not written down that a claim was lost. */
export const undyingClaims = () =>
  rewriting((tx) => ({
    updateClaim: async (row) => (row.lease.state === 'lost' ? undefined : await tx.updateClaim(row)),
  }))

/** Every job gets one attempt more than it asked for, and another one whatever ended the last. */
export const generousStore = () =>
  rewriting((tx) => ({
    async insertJob(row, spec) {
      const { policy } = row.law
      // In place: pond remembers the row that it handed over.
      Object.assign(policy, { retryOn: causes, attempts: policy.attempts + 1 })
      await tx.insertJob(row, spec)
    },
  }))

/** A job that ended is read as it was before. */
export function staleReads(): Plant {
  const before = new Map<string, JobRow>()
  return rewriting((tx) => ({
    async getJob(id) {
      const row = await tx.getJob(id)
      return (row?.law.end && before.get(id)) || row
    },
    async updateJob(row) {
      const was = await tx.getJob(row.id)
      if (was && !was.law.end) before.set(row.id, { ...was, version: row.version })
      await tx.updateJob(row)
    },
  }))
}

/** Why a job ended is not written down. */
export const causelessEnds = () =>
  rewriting((tx) => ({
    async updateJob(row) {
      const { end: _, ...law } = row.law
      await tx.updateJob(law.state === 'failed' ? { ...row, law } : row)
    },
  }))

/** Nobody looks whether claims fell silent. */
export const noSweep = (): Plant => ({
  pond: { clock: (clock, sweepMs) => ({ ...clock, after: (ms, run) => clock.after(ms === sweepMs ? 1e9 : ms, run) }) },
})

/** Every claim gets the token of the first. */
export function oneToken(): Plant {
  let first: string | undefined
  return {
    pond: {
      reply(reply) {
        if (typeof reply.body !== 'string' || !reply.body.includes('"claim_token"')) return reply
        first ??= /"claim_token":"([^"]*)"/.exec(reply.body)?.[1]
        return { ...reply, body: reply.body.replaceAll(/"claim_token":"[^"]*"/g, `"claim_token":"${first}"`) }
      },
    },
  }
}

/** Every machine is called online, as long as it is paired. */
export const blindOptimist = (): Plant => ({
  pond: {
    reply: (reply) =>
      typeof reply.body === 'string'
        ? { ...reply, body: reply.body.replaceAll('"online":false', '"online":true') }
        : reply,
  },
})
