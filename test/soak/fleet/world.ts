// A simulated fleet before pond's real services, in virtual time: machines that poll and speak as swarm does, and hold against their own ledger what they are given.

import { createPond } from '../../../server/pond.ts'
import type { Services } from '../../../server/service/pond.ts'
import { Parked } from '../../../server/service/session.ts'
import { submitJobs } from '../../../server/service/submit.ts'
import { hearWords } from '../../../server/service/word.ts'
import type { BindingRow, BindingToken, WorkerRow } from '../../../server/store/row.ts'
import type { ProjectId } from '../../../src/protocol/id.ts'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent, PollReply } from '../../../src/protocol/orch.ts'
import { PROTOCOL } from '../../../src/protocol/version.ts'
import { newWorker } from '../../../src/state/worker.ts'
import { sleep } from '../../../src/system/clock.ts'
import { silentLog } from '../../../src/system/log.ts'
import { createMemoryDevice, openMemoryBlobs } from '../../harness/memory-blobs.ts'
import { createLastingDatabase } from '../../harness/memory-lasting.ts'
import { type MemoryRows, openMemoryStore } from '../../harness/memory-store.ts'
import { createSeededRandom } from '../../harness/seeded-random.ts'
import { createVirtualClock, type VirtualClock } from '../../harness/virtual-clock.ts'
import { pondKeys } from '../../simulation/pond-host.ts'
import { sizeOfJob, sizeOfMachine, suitsMachine } from './bound.ts'
import type { FleetJob, FleetMachine } from './workload.ts'

export interface FleetRun {
  /** When each job started, by its index; the first time counts. */
  readonly startedMs: readonly (number | undefined)[]
  readonly makespanMs: number
  /** Each is one broken promise in a sentence. */
  readonly faults: readonly string[]
}

/** `told`: what pond hears of it, where that is another thing. */
export interface Placed {
  readonly machine: FleetMachine
  readonly told?: FleetMachine
}

interface Fleet {
  readonly clock: VirtualClock
  readonly services: Services
  readonly rows: () => MemoryRows
  readonly projectId: ProjectId
  readonly jobs: readonly FleetJob[]
  readonly startedMs: (number | undefined)[]
  readonly faults: string[]
  /** How many ended. */
  ended: number
}

/** A year of virtual time: what has not ended then never will. */
const MOST_MS = 365 * 24 * 3_600_000
/** A consumer's largest batch. */
const BATCH = 1000
const FAULTS_MOST = 20

export async function runFleet(
  machines: readonly Placed[],
  jobs: readonly FleetJob[],
  seed: number,
): Promise<FleetRun> {
  const clock = createVirtualClock()
  const { database, transaction } = createLastingDatabase()
  const fatal = (error: unknown) => fleet.faults.push(`the store failed: ${error}`)
  const pond = await createPond({
    store: openMemoryStore(database, { clock, transaction, events: { fatal } }),
    blobs: openMemoryBlobs(createMemoryDevice()),
    ...{ clock, random: createSeededRandom(seed), log: silentLog, keys: pondKeys },
    settings: { requireAttestation: false },
  })
  const { services } = pond
  const [projectId] = services.core.projects.keys()
  if (projectId === undefined) throw new Error('pond has a project from its first start on')
  const fleet: Fleet = {
    ...{ clock, services, rows: () => database.rows, projectId, jobs },
    ...{ startedMs: [], faults: [], ended: 0 },
  }
  for (const [index, placed] of machines.entries()) await new Machine(fleet, placed, index).begin()
  const submitting = submitAll(fleet)
  await clock
    .until(() => fleet.ended >= jobs.length || fleet.faults.length >= FAULTS_MOST, MOST_MS)
    .catch(() => {
      fleet.faults.push(`${jobs.length - fleet.ended} jobs never ended`)
    })
  const makespanMs = clock.monotonic()
  await submitting
  for (const { index } of jobs) if (fleet.startedMs[index] === undefined) fleet.faults.push(`job ${index} never ran`)
  pond.close()
  await clock.settle()
  return { startedMs: fleet.startedMs, makespanMs, faults: fleet.faults.slice(0, FAULTS_MOST) }
}

async function submitAll({ clock, services, projectId, jobs }: Fleet): Promise<void> {
  for (let at = 0; at < jobs.length; ) {
    const arrivesMs = jobs[at]?.arrivesMs ?? 0
    const batch = jobs.slice(at, at + BATCH).filter((job) => job.arrivesMs === arrivesMs)
    at += batch.length
    const waitMs = arrivesMs - clock.monotonic()
    if (waitMs > 0) await new Promise<void>((resolve) => void clock.after(waitMs, resolve))
    const submitted = batch.map(({ index, requires }) => {
      const spec = { command: ['job', `${index}`] as [string, ...string[]], requires, idempotent: true }
      return { spec, field: '', raw: spec }
    })
    await submitJobs(services, { projectId, by: 'key:fleet', jobs: submitted, batch: true })
  }
}

/** Its worker, its one poll, and what runs on it. */
class Machine {
  readonly #fleet: Fleet
  readonly #machine: FleetMachine
  readonly #told: FleetMachine
  readonly #binding: BindingRow
  readonly #worker: WorkerRow
  readonly #running = new Map<string, Running>()
  #seq = 0
  #heard: string | undefined
  #keys = 0

  constructor(fleet: Fleet, { machine, told = machine }: Placed, index: number) {
    this.#fleet = fleet
    this.#machine = machine
    this.#told = told
    const { services, projectId } = fleet
    const { core } = services
    const now = core.clock.now()
    const token: BindingToken = {
      ...{ hash: `${index}`.padStart(64, '0'), expiresAt: now + 100 * MOST_MS },
      ...{ bindingKey: core.keys.publicKey, pondKey: core.keys.publicKey, used: true },
    }
    const id = `${index}`.padStart(26, '0')
    this.#binding = {
      ...{ id: `bnd_${id}` as BindingRow['id'], projectId, codeId: `cod_${id}` as BindingRow['codeId'] },
      ...{ name: machine.name, bindingKey: token.bindingKey, state: 'active', tokens: [token] },
      ...{ ephemeral: false, createdAt: now },
    }
    this.#worker = {
      ...{ id: `wrk_${id}` as WorkerRow['id'], bindingId: this.#binding.id, projectId, name: machine.name },
      ...{ sealingKey: `seal-${index}`, signingKey: `sign-${index}`, labels: {} },
      ...{ resources: { slots: 1 }, law: newWorker, createdAt: now },
    }
  }

  /** Bound, told of, and polling. */
  async begin(): Promise<void> {
    const { core, snapshots } = this.#fleet.services
    await core.store.write(async (tx) => {
      await tx.insertBinding(this.#binding)
      await tx.insertWorker(this.#worker)
      tx.afterCommit(() => core.fleet.set(this.#worker))
    })
    const { id, sealingKey, signingKey } = this.#worker
    const { slots, cpus, memoryBytes, gpus, arch } = this.#told
    await snapshots.hear(
      { bindingId: this.#binding.id, passing: false },
      {
        ...{ session: this.#session, seq: 1 },
        workers: [
          {
            ...{ worker_id: id, keys: { sealing_key: sealingKey, signing_key: signingKey }, labels: {} },
            resources: { slots, cpus, memory_bytes: memoryBytes, ...(gpus.length > 0 && { gpus: [...gpus] }) },
            ...{ inflight: 0, load: 0, version: '0.0.0', os: 'linux', arch, sandbox: 'uid' },
          },
        ],
      },
    )
    void this.#pollOn().catch((error: unknown) => this.#fault(`polls end: ${error}`))
  }

  get #session(): string {
    return `session-of-${this.#machine.name}`
  }

  get #caller() {
    const { id: bindingId, projectId, tokens } = this.#binding
    return { bindingId, projectId, token: tokens[0] as BindingToken }
  }

  async #pollOn(): Promise<void> {
    const { services } = this.#fleet
    for (;;) {
      const have = [...this.#running.values()].map(({ intent }) => ({
        ...{ claim_id: intent.claim_id, state: 'running' as const },
      }))
      const told = await services.polls.poll(this.#caller, {
        ...{ protocol: PROTOCOL, session: this.#session, seq: ++this.#seq, claim_key: `claim-key-${this.#keys}` },
        ...{ wait_ms: have.length > 0 ? limit.pollHoldBusyMs : limit.pollHoldMs, have, refill: true },
        workers: [{ worker_id: this.#worker.id, free: { slots: this.#told.slots - have.length } }],
        ...(this.#heard !== undefined && { heard: this.#heard }),
      })
      const reply = told instanceof Parked ? await new Promise<PollReply>((resolve) => told.listen(resolve)) : told
      this.#heard = reply.receipt
      if (reply.intents.length > 0) this.#keys++
      this.#accept(reply.intents)
      const slower = reply.directives.find(({ type }) => type === 'slow_down')
      if (slower) await sleep(this.#fleet.clock, 1 + (slower.wait_ms ?? 0))
    }
  }

  #accept(intents: readonly Intent[]): void {
    const fresh = intents.filter(({ claim_id }) => !this.#running.has(claim_id))
    if (fresh.length === 0) return
    for (const intent of fresh) this.#start(intent)
    void this.#say(fresh.map((intent) => ({ intent, body: { claim_id: intent.claim_id, state: 'running' as const } })))
  }

  #start(intent: Intent): void {
    const { clock, jobs, startedMs } = this.#fleet
    const { command } = JSON.parse(Buffer.from(intent.job, 'base64').toString()) as { readonly command: string[] }
    const job = jobs[Number(command[1])]
    if (!job) throw new Error(`a job that nobody submitted came: ${command}`)
    if (startedMs[job.index] !== undefined) this.#fault(`job ${job.index} started twice`)
    startedMs[job.index] ??= clock.monotonic()
    this.#running.set(intent.claim_id, { intent, job })
    this.#check(job)
    clock.after(job.durationMs, () => void this.#end(intent))
  }

  /** Against what the machine has, whatever pond believes. */
  #check({ index, requires }: FleetJob): void {
    if (!suitsMachine(requires, this.#machine)) this.#fault(`job ${index} does not suit this machine`)
    const [all, devices] = [[...this.#running.values()], new Set<string>()]
    for (const { intent, job } of all) {
      const given = intent.gpus ?? []
      if (given.length !== (job.requires.gpus?.count ?? 0))
        this.#fault(`job ${job.index} was given ${given.length} GPUs`)
      for (const uuid of given) {
        const isOwn = this.#machine.gpus.some((gpu) => gpu.uuid === uuid)
        if (!isOwn || devices.has(uuid)) this.#fault(`${uuid} is not there, or in the hands of two jobs`)
        devices.add(uuid)
      }
    }
    const has = sizeOfMachine(this.#machine)
    for (const name of ['milliCpus', 'memoryBytes', 'slots'] as const) {
      const held = all.reduce((sum, { job }) => sum + sizeOfJob(job.requires)[name], 0)
      if (held > has[name]) this.#fault(`${name}: ${held} held of ${has[name]}`)
    }
  }

  async #end(intent: Intent): Promise<void> {
    this.#running.delete(intent.claim_id)
    const body = { claim_id: intent.claim_id, state: 'final' as const, cause: 'exit' as const, rc: 0 }
    await this.#say([{ intent, body }])
    this.#fleet.ended++
    this.#forget(intent)
  }

  async #say(said: readonly { readonly intent: Intent; readonly body: Said }[]): Promise<void> {
    const words = said.map(({ intent, body }) => ({ jobId: intent.job_id, token: intent.claim_token, body }))
    const { outcomes, intents } = await hearWords(this.#fleet.services, this.#caller.bindingId, { words, refill: true })
    for (const { outcome } of outcomes) if (outcome !== 'accepted') this.#fault(`a word was ${outcome}`)
    this.#accept(intents)
  }

  /** Nobody asks for it again, and a store with all of them would be slow where its memory is scanned. */
  #forget({ job_id, claim_id }: Intent): void {
    const { jobs, specs, claims, transitions } = this.#fleet.rows()
    for (const table of [jobs, specs, transitions]) (table as Map<string, unknown>).delete(job_id)
    ;(claims as Map<string, unknown>).delete(claim_id)
  }

  #fault(what: string): void {
    this.#fleet.faults.push(`${this.#machine.name}: ${what}`)
  }
}

interface Running {
  readonly intent: Intent
  readonly job: FleetJob
}

type Said = Parameters<typeof hearWords>[2]['words'][number]['body']
