// Deliberate bugs in who gets which job: in pond's store and its front, and in what swarm tells of its machine.
import type { Client } from '../../src/client/contract.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import { rewriting } from './pond-bug.ts'
import type { Plant } from './simulation.ts'

/** What a claim holds is not written down, so pond counts only its slot. */
export const weightlessClaims = () =>
  rewriting((tx) => ({
    async insertClaim(row) {
      const { gpus } = row.held
      // In place: pond remembers the row that it handed over.
      Object.assign(row, { held: gpus ? { gpus } : {} })
      await tx.insertClaim(row)
    },
  }))

/** Every job is given the first devices of its machine. */
export function firstDevices(): Plant {
  return {
    pond: {
      reply(reply) {
        if (typeof reply.body !== 'string' || !reply.body.includes('"gpus":["')) return reply
        const told = JSON.parse(reply.body) as { readonly intents?: readonly Intent[] }
        const intents = told.intents?.map((intent) => ({
          ...intent,
          ...(intent.gpus && {
            gpus: intent.gpus.map((uuid, index) => `${uuid.slice(0, uuid.lastIndexOf('-'))}-${index}`),
          }),
        }))
        return { ...reply, body: JSON.stringify({ ...told, ...(intents && { intents }) }) }
      },
    },
  }
}

/** What a job requires is not written down. */
export const undemandingStore = () =>
  rewriting((tx) => ({
    async insertJob(row, spec) {
      Object.assign(row, { needs: '{}' })
      await tx.insertJob(row, spec)
    },
  }))

/** Of a job that needs the success of another, only that it needs its end is written down. */
export const anyEnd = () =>
  rewriting((tx) => ({
    insertDependency: (row) => tx.insertDependency({ ...row, on: 'end' }),
  }))

/** Who waits for a job is not found when it ends. */
export const lostDependents = () => rewriting(() => ({ listDependents: async () => [] }))

/** What a machine has beside its slots is not written down. */
export const emptyMachines = () =>
  rewriting((tx) => ({
    async updateWorker(row) {
      const { slots } = row.resources
      Object.assign(row, { resources: { slots } })
      await tx.updateWorker(row)
    },
  }))

type Told = Record<string, unknown> & { readonly have?: readonly { readonly state: string }[] }

/** Swarm does not tell what it runs, so pond takes it for lost and its room for free. */
export const silentSwarm = (): Plant => ({
  swarm: {
    client: (client: Client): Client => ({
      ...client,
      call: (async (name, call) => {
        const { have, ...body } = (call?.body ?? {}) as Told
        if (name !== 'poll' || !have) return await client.call(name, call)
        const told = have.filter(({ state }) => state !== 'running')
        return await client.call(name, { ...call, body: { ...body, have: told } } as never)
      }) as Client['call'],
    }),
  },
})

/** Swarm tells of twice the machine that it has. */
export const boastfulSwarm = (): Plant => ({
  swarm: {
    client: (client: Client): Client => ({
      ...client,
      call: (async (name, call) => {
        if (name !== 'sendSnapshot') return await client.call(name, call)
        const { workers, ...body } = (call?.body ?? { workers: [] }) as unknown as {
          readonly workers: readonly { readonly resources: { readonly cpus: number } }[]
        }
        const grown = workers.map(({ resources, ...worker }) => ({
          ...worker,
          resources: { ...resources, cpus: 2 * resources.cpus },
        }))
        return await client.call(name, { ...call, body: { ...body, workers: grown } } as never)
      }) as Client['call'],
    }),
  },
})
