// Slot groups: the workers of one swarm, each with slots of its own. Knows which claim runs for whom; decides nothing about a job.
import PQueue from 'p-queue'
import type { Resources } from '../protocol/field.ts'
import type { WorkerId } from '../protocol/id.ts'
import type { PollBody, SnapshotBody } from '../protocol/orch.ts'
import { fingerprint } from '../seal/fingerprint.ts'
import type { Clock } from '../system/clock.ts'
import { createAllotment, type TakeRoom } from './allotment.ts'
import type { Binding, BoundWorker } from './binding.ts'
import type { SwarmParts } from './contract.ts'
import { createDeadline, type Deadline } from './deadline.ts'
import type { SwarmStatus } from './status.ts'

export interface SlotGroups {
  /** What each worker has free, at most so many slots in all. */
  free(most: number): PollBody['workers']
  /** Runs it in a slot of this worker; the slot is free once `freeSlot` was called. Undefined: there is no such worker. */
  add<T>(worker: WorkerId, run: (freeSlot: () => void, takeRoom: TakeRoom) => Promise<T>): Promise<T> | undefined
  /** This worker takes no more jobs, and after the deadline what it still runs is stopped. True: no other takes any either. */
  drain(worker: WorkerId, deadlineMs?: number): boolean
  isDraining(worker: WorkerId): boolean
  snapshot(most: SnapshotFacts): SnapshotBody['workers']
  status(mostFree: number, diskBytes?: number): SwarmStatus['workers']
  close(): void
}

type Facts = Omit<SnapshotBody['workers'][number], 'worker_id' | 'keys' | 'labels' | 'resources' | 'inflight'>
export interface SnapshotFacts extends Facts {
  /** Claims by worker. */
  readonly inflight: (worker: WorkerId) => number
  /** The disk is the machine's, and so its first worker's; absent where pond does not know the word. */
  readonly diskBytes?: number | undefined
}

export interface SlotGroupsParts {
  /** As it stands now: keys change. */
  readonly binding: () => Binding
  /** What the first worker has: the machine is its own. The others have what they were enrolled with. */
  readonly first: Resources
  /** A slot was taken or came free. */
  readonly moved: () => void
  readonly clock: Clock
  /** The deadline of a drained worker is over. */
  readonly stop: (worker: WorkerId) => void
}

/** Of the machine, and so of its own worker. */
export function resourcesOf(parts: Pick<SwarmParts, 'executor' | 'host' | 'options'>): Resources {
  const {
    executor: { gpus },
    host,
    options: { slots },
  } = parts
  const offered = gpus.filter(({ uuid }) => host.gpus?.includes(uuid) ?? true)
  return { slots, ...host.resources, ...(offered.length > 0 && { gpus: offered }) }
}

/** What it is, whatever it does. */
export function natureOf({ executor, host, options }: Pick<SwarmParts, 'executor' | 'host' | 'options'>) {
  return {
    version: host.version,
    os: host.os,
    arch: host.arch,
    executor: `${executor.name} ${executor.rung}`,
    sandbox: executor.sandbox,
    allow_unsandboxed: options.allowUnsandboxed ?? false,
  }
}

interface Group {
  readonly id: WorkerId
  readonly resources: Resources
  readonly queue: PQueue
  /** Of what it has beside its slots. */
  readonly takeRoom: TakeRoom
  readonly deadline: Deadline
  draining: boolean
  /** Runs that hold a slot or wait for one. A queue hears of a freed slot some turns later, and a poll between would say of a job that it ended and of its slot that it is filled. */
  taken: number
}

export function createSlotGroups({ binding, first, moved, clock, stop }: SlotGroupsParts): SlotGroups {
  const groups: readonly Group[] = binding().workers.map(({ worker_id: id, resources: enrolled }, index) => {
    const resources = index === 0 ? first : enrolled
    const queue = new PQueue({ concurrency: resources.slots })
    queue.on('next', moved)
    const takeRoom = createAllotment(resources)
    return {
      id,
      resources,
      queue,
      takeRoom,
      deadline: createDeadline(clock, () => stop(id)),
      draining: false,
      taken: 0,
    }
  })
  const find = (id: WorkerId) => groups.find((group) => group.id === id)
  const freeOf = ({ resources, draining, taken }: Group) => (draining ? 0 : Math.max(0, resources.slots - taken))

  function free(most: number): PollBody['workers'] {
    let left = Math.max(0, most)
    return groups.map((group) => {
      const slots = Math.min(freeOf(group), left)
      left -= slots
      return { worker_id: group.id, free: { slots } }
    })
  }

  /** Each worker as it is bound, with its group. */
  const both = (): readonly (readonly [BoundWorker, Group])[] =>
    binding().workers.flatMap((worker) => {
      const group = find(worker.worker_id)
      return group ? [[worker, group] as const] : []
    })

  return {
    free,
    add(worker, run) {
      const group = find(worker)
      return group && runIn(group, (freeSlot) => run(freeSlot, group.takeRoom))
    },
    drain(worker, deadlineMs = Number.POSITIVE_INFINITY) {
      const group = find(worker)
      group?.deadline.bring(deadlineMs)
      if (group) group.draining = true
      return groups.every(({ draining }) => draining)
    },
    isDraining: (worker) => find(worker)?.draining === true,
    snapshot: ({ inflight, diskBytes, ...facts }) =>
      both().map(([{ worker_id, keys, labels }, { resources, draining }], index) => ({
        worker_id,
        ...{ keys, labels, inflight: inflight(worker_id) },
        resources: withDisk(resources, index === 0 ? diskBytes : undefined),
        ...facts,
        ...(draining && { state: 'draining' as const }),
      })),
    status(mostFree, diskBytes) {
      const left = new Map(free(mostFree).map(({ worker_id, free }) => [worker_id, free.slots]))
      return both().map(([{ worker_id, name, keys }, { resources, draining }], index) => ({
        ...{ worker_id, name, fingerprint: fingerprint(keys.sealing_key, keys.signing_key), slots: resources.slots },
        free: left.get(worker_id) ?? 0,
        resources: withDisk(resources, index === 0 ? diskBytes : undefined),
        state: draining ? ('draining' as const) : ('ready' as const),
      }))
    },
    close() {
      for (const { deadline } of groups) deadline.close()
    },
  }
}

const withDisk = (resources: Resources, disk_bytes: number | undefined): Resources =>
  disk_bytes === undefined ? resources : Object.assign({}, resources, { disk_bytes })

/** The run goes on after its slot is free. */
function runIn<T>(group: Group, run: (freeSlot: () => void) => Promise<T>): Promise<T> {
  group.taken++
  return new Promise((resolve, reject) => {
    const hold = () =>
      new Promise<void>((leave) => {
        let held = true
        const freeSlot = () => {
          if (held) group.taken--
          held = false
          leave()
        }
        run(freeSlot).finally(freeSlot).then(resolve, reject)
      })
    void group.queue.add(hold)
  })
}
