// The machine that a swarm runs on: its disk and its processes outlive swarm, it crashes, loses power, drains, and comes back.
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import type { Executor } from '../../src/executor/contract.ts'
import { createSwarm, openHome, pair, type Swarm } from '../../src/orchestrator/swarm.ts'
import { sleep } from '../../src/system/clock.ts'
import type { Disk } from '../../src/system/disk.ts'
import type { Network } from '../../src/system/network.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createLife, type Life } from './life.ts'
import type { SimulatedNetwork } from './network.ts'
import type { Place } from './place.ts'
import { createMachine, type Machine, type Run } from './program.ts'

export type SwarmCrash = 'kill' | 'power'

export interface SwarmHost {
  readonly name: string
  readonly machine: Machine
  pair(code: string): Promise<void>
  start(): Promise<void>
  /** Now, or at one of its next calls to disk, network or executor. */
  crash(kind: SwarmCrash, inCalls?: number): void
  drain(deadlineMs: number): void
  /** Stops for so long; its processes go on. */
  stall(forMs: number): void
  /** Takes no jobs for so long. */
  pause(forMs: number): void
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
  readonly plant?: SwarmPlant | undefined
}

const HOME = '/home/swarm'
const POND = 'http://127.0.0.1:7460'

export function createSwarmHost(parts: SwarmHostParts): SwarmHost {
  const { place, name, network, plant = {} } = parts
  const { clock, random, weather, history } = place
  const disk = createMemoryDisk()
  const machine = createMachine({ clock, random, host: name, started: parts.started, note: history.note })
  let current: { readonly life: Life; swarm?: Swarm } | undefined
  let kind: SwarmCrash = 'kill'
  let mishaps = 0
  disk.gate = () => sleep(clock, random.number() * 4)
  disk.fault = (operation) => {
    if (!current?.swarm || random.number() >= weather().diskFault) return undefined
    mishaps++
    history.note('disk_fault', { host: name, operation })
    return Object.assign(new Error('a fault of the disk'), { code: random.number() < 0.5 ? 'ENOSPC' : 'EIO' })
  }

  function died(): void {
    current = undefined
    history.note('swarm_died', { host: name, kind })
    machine.orphan()
    disk.processEnd()
    if (kind === 'power') {
      mishaps++
      disk.powerCut()
      machine.powerCut()
    }
    kind = 'kill'
    again()
  }

  function again(): void {
    const pauseMs = 100 + random.number() ** 3 * (weather().calm ? 100 : 120_000)
    clock.after(pauseMs, () => void host.start())
  }

  const wire = network.connect(name)
  const heard: Network = (request) => {
    const left = request.url.endsWith('/poll') ? machine.runs.filter((run) => run.orphaned && !run.exit) : []
    for (const { plan } of left) place.violate('nothing_of_a_former_life_runs', { host: name, claim: plan.claimId })
    return wire(request)
  }

  const connect = (life: Life | undefined, token?: string) =>
    createClient({
      network: life ? life.mortal(heard) : heard,
      clock: life?.clock ?? clock,
      random: createSeededRandom(random.bytes(4).readUInt32LE()),
      log: place.log(name),
      baseUrl: POND,
      version: '0.0.0',
      ...(token !== undefined && { token }),
    })

  async function live(life: Life): Promise<void> {
    const mortal = life.mortal(plant.disk?.(disk) ?? disk)
    const home = await openHome(mortal, HOME)
    const unlock = await home.lock()
    const binding = await home.readBinding()
    if (!binding) throw new Error('a started swarm is paired')
    const executor = machine.executor(life.alive)
    const client = connect(life, binding.token)
    const swarm = createSwarm({
      client: plant.client?.(client) ?? client,
      clock: life.clock,
      random: createSeededRandom(random.bytes(4).readUInt32LE()),
      log: place.log(name),
      disk: mortal,
      executor: life.mortal(plant.executor?.(executor) ?? executor),
      home,
      binding,
      host: { os: 'linux', arch: 'x64', version: '0.0.0', load: () => 0 },
      options: { slots: weather().slots },
    })
    if (current?.life === life) current.swarm = swarm
    history.note('swarm_up', { host: name })
    const end = await swarm.run()
    history.note('swarm_ended', { host: name, ...end })
    if (end.reason !== 'drained') place.violate('no_end_unasked', { host: name, ...end })
    await unlock()
  }

  const host: SwarmHost = {
    name,
    machine,
    async pair(code) {
      const home = await openHome(disk, HOME)
      const makeKeyPair = async () => {
        const key = () => random.bytes(32).toString('base64url')
        return { publicKey: key(), privateKey: key() }
      }
      const resources = { slots: weather().slots }
      await pair(
        { home, makeKeyPair, connect: () => connect(undefined) },
        { pond: POND, code, name, labels: {}, resources },
      )
    },
    async start() {
      const life = createLife({ clock, random, died })
      current = { life }
      const failed = (error: unknown) => history.note('swarm_failed', { host: name, error: String(error) })
      await Promise.race([live(life).catch(failed), life.over])
      // It ended by itself, so nothing that it does from here on may reach the world.
      life.die()
    },
    crash(how, inCalls = 0) {
      kind = how
      if (inCalls > 0) current?.life.fuse(inCalls)
      else current?.life.die()
    },
    drain(deadlineMs) {
      history.note('drain', { host: name, deadline_ms: Math.round(deadlineMs) })
      current?.swarm?.drain({ deadlineMs })
    },
    stall(forMs) {
      history.note('swarm_stalled', { host: name, for_ms: Math.round(forMs) })
      current?.life.stall(forMs)
    },
    pause(forMs) {
      history.note('pause', { host: name, for_ms: Math.round(forMs) })
      const swarm = current?.swarm
      swarm?.pause()
      clock.after(forMs, () => swarm?.resume())
    },
    mishaps: () => mishaps,
  }
  return host
}
