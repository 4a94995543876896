// Deliberate bugs between swarm and its world: its client, its disk and its executor.
import type { Client } from '../../src/client/contract.ts'
import type { Executor } from '../../src/executor/contract.ts'
import type { Disk } from '../../src/system/disk.ts'
import { bound } from './bound.ts'
import { SECRET_NAME } from './secret.ts'
import type { Plant } from './simulation.ts'

/** Swarm takes a start that pond did not answer for one that pond accepted. */
export const boldClient = (): Plant => ({
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
export const lazySweep = (): Plant => ({
  swarm: { executor: (executor: Executor): Executor => ({ ...executor, sweep: async () => 0 }) },
})

/** A plan is started twice. */
export const doubleStart = (): Plant => ({
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
export const shortDisk = (): Plant => ({
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

/** The environment of a job stands in its last word. */
export function talkativeSwarm(): Plant {
  const told = new Map<string, string>()
  return {
    swarm: {
      executor: (executor: Executor): Executor => ({
        ...executor,
        start(plan, watch) {
          told.set(plan.claimId, `it ran with ${plan.env[SECRET_NAME]}`)
          return executor.start(plan, watch)
        },
      }),
      client: (client: Client): Client => ({
        ...client,
        persist: ((name, call, onRetry) => {
          const body = call?.body as { words?: readonly { claim_id: string; state: string }[] } | undefined
          if (name !== 'sendWords' || !body?.words) return client.persist(name, call, onRetry)
          const words = body.words.map((word) =>
            word.state === 'final' ? { ...word, message: told.get(word.claim_id) } : word,
          )
          return client.persist(name, { ...call, body: { ...body, words } } as never, onRetry)
        }) as Client['persist'],
      }),
    },
  }
}
