// A real orchestrator on a real pond in one process: its disk in memory, its processes fake, its line in the test's hand. It can be killed and started again.
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import {
  type Binding,
  createSwarm,
  openHome,
  pair,
  type RunEnd,
  type Swarm,
  type SwarmOptions,
  systemKeyPair,
} from '../../src/orchestrator/swarm.ts'
import { printPairingCode } from '../../src/seal/pairing.ts'
import { createFakeExecutor, type FakeExecutor } from './fake-executor.ts'
import { createCode } from './machine.ts'
import { createMemoryDisk } from './memory-disk.ts'
import type { PondRig } from './pond.ts'
import { createLine, LINE_URL, type Line } from './pond-network.ts'
import { createSeededRandom } from './seeded-random.ts'

export interface Pool {
  readonly line: Line
  readonly executor: FakeExecutor
  readonly binding: Binding
  /** The swarm of this life. */
  readonly swarm: Swarm
  /** Set once its run has ended. */
  readonly end: RunEnd | undefined
  /** As after kill -9: from now on nothing of this life reaches pond, the disk or a process. */
  kill(): void
  /** Starts the next life on the same home. */
  start(): Promise<void>
  /** A client of the consumer's side, over a line of its own. */
  readonly consumer: Client
  readonly consumerLine: Line
}

export interface PoolOptions extends Partial<SwarmOptions> {
  readonly seed?: number
  /** The binding of another pool, as in a copied home; without it the pool pairs. */
  readonly binding?: Binding
}

export async function startPool(rig: PondRig, options: PoolOptions = {}): Promise<Pool> {
  const { seed = 7, binding: copied, ...given } = options
  const { clock } = rig
  const random = createSeededRandom(seed)
  const disk = createMemoryDisk()
  const executor = createFakeExecutor()
  const log = { info() {}, warn() {}, error() {} }
  const home = await openHome(disk, '/home/swarm')
  const answer: Parameters<typeof createLine>[1] = (request) => rig.pond.answer(request)
  const line = createLine(clock, answer)
  const consumerLine = createLine(clock, answer)
  const parts = { clock, random, log, baseUrl: LINE_URL, version: '0.0.0' }
  const connect = (network: Line['network'], token?: string) =>
    createClient({ ...parts, network, ...(token === undefined ? {} : { token }) })
  const binding = copied ?? (await pairPool())
  const pool: { -readonly [K in keyof Pool]: Pool[K] } = {
    line,
    executor,
    binding,
    swarm: undefined as never,
    end: undefined,
    kill: () => {},
    start,
    consumer: connect(consumerLine.network, rig.adminToken),
    consumerLine,
  }

  async function pairPool(): Promise<Binding> {
    const { parsed } = await createCode(rig)
    const code = printPairingCode(parsed)
    const request = { pond: LINE_URL, code, name: 'box', labels: {}, resources: { slots: 2 } }
    return await pair({ home, makeKeyPair: systemKeyPair, connect: () => connect(line.network) }, request)
  }

  async function start(): Promise<void> {
    const never = new Promise<never>(() => {})
    const dying = new AbortController()
    const dead = () => dying.signal.aborted
    /** A dead process neither does anything nor learns anything. */
    const mortal = <T extends object>(thing: T): T =>
      new Proxy(thing, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name)
          if (typeof value !== 'function') return value
          return (...args: unknown[]) => {
            if (dead()) return never
            const result: unknown = Reflect.apply(value, target, args)
            if (!(result instanceof Promise)) return result
            return result.then((it: unknown) => {
              if (dead()) return never
              return typeof it === 'object' && it !== null && 'append' in it ? mortal(it) : it
            })
          }
        },
      })
    // The kernel closes the sockets of a dead process, so pond sees its calls end.
    const network: Line['network'] = (call) =>
      dead()
        ? never
        : line
            .network({ ...call, signal: AbortSignal.any([dying.signal, ...(call.signal ? [call.signal] : [])]) })
            .catch((error: unknown) => (dead() ? never : Promise.reject(error)))
    const swarm = createSwarm({
      clock: { ...clock, after: (ms, run) => clock.after(ms, () => (dead() ? undefined : run())) },
      random,
      log,
      disk: mortal(disk),
      client: connect(network, binding.token),
      executor: mortal(executor),
      home,
      binding,
      host: { os: 'linux', arch: 'x64', version: '0.0.0', load: () => 0.5 },
      options: { slots: 2, ...given },
    })
    pool.swarm = swarm
    pool.end = undefined
    pool.kill = () => {
      dying.abort()
      disk.processEnd()
    }
    void swarm.run().then((end) => {
      if (!dead()) pool.end = end
    })
    await clock.settle()
  }

  await start()
  return pool
}
