// A real orchestrator on a real pond in one process: its disk in memory, its processes fake, its line in the test's hand. It can be killed and started again.
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import {
  type Binding,
  createLiveBinding,
  createSwarm,
  type KeySet,
  openHome,
  pair,
  type RunEnd,
  type Swarm,
  type SwarmOptions,
  systemKeyPair,
} from '../../src/orchestrator/swarm.ts'
import { printPairingCode } from '../../src/seal/pairing.ts'
import type { SignCall } from '../../src/seal/request-signature.ts'
import type { Clock } from '../../src/system/clock.ts'
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
  readonly keys: KeySet
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
  /** How far the machine's wall clock is ahead of pond's. */
  readonly aheadMs?: number
  /** Binding and keys of another pool, as in a copied home; without them the pool pairs. */
  readonly copyOf?: Pick<Pool, 'binding' | 'keys'>
  /** What it pairs with, in place of fresh ones. */
  readonly keySet?: KeySet
}

const host = { os: 'linux', arch: 'x64', resources: { cpus: 4 }, version: '0.0.0', load: () => 0.5 }

export async function startPool(rig: PondRig, options: PoolOptions = {}): Promise<Pool> {
  const { seed = 7, aheadMs = 0, copyOf, keySet, ...given } = options
  const clock = { ...rig.clock, now: () => rig.clock.now() + aheadMs }
  const random = createSeededRandom(seed)
  const disk = createMemoryDisk()
  const executor = createFakeExecutor()
  const log = { info() {}, warn() {}, error() {} }
  const home = await openHome(disk, '/home/swarm')
  const answer: Parameters<typeof createLine>[1] = (request) => rig.pond.answer(request)
  const line = createLine(rig.clock, answer)
  const consumerLine = createLine(rig.clock, answer)
  const parts = { clock, random, log, baseUrl: LINE_URL, version: '0.0.0' }
  type Proof = { readonly token?: string | (() => string); readonly sign?: SignCall }
  const connect = (network: Line['network'], proof: Proof) => createClient({ ...parts, network, ...proof })
  const { binding, keys } = copyOf ?? (await pairPool())
  const pool: { -readonly [K in keyof Pool]: Pool[K] } = {
    line,
    executor,
    binding,
    keys,
    swarm: undefined as never,
    end: undefined,
    kill: () => {},
    start,
    consumer: connect(consumerLine.network, { token: rig.adminToken }),
    consumerLine,
  }

  async function pairPool(): Promise<Pick<Pool, 'binding' | 'keys'>> {
    const { parsed } = await createCode(rig)
    const code = printPairingCode(parsed)
    const request = { pond: LINE_URL, code, name: 'box', labels: {}, resources: { slots: 2 } }
    if (keySet) await home.writeKeys(keySet)
    const connectPair = (sign: SignCall) => connect(line.network, { sign })
    const binding = await pair({ home, makeKeyPair: systemKeyPair, connect: connectPair }, request)
    const keys = await home.readKeys()
    if (!keys) throw new Error('pairing keeps the keys')
    return { binding, keys }
  }

  async function start(): Promise<void> {
    const life = createLife()
    const live = createLiveBinding(home, binding, (await home.readKeys()) ?? keys)
    const swarm = createSwarm({
      clock: life.clock(clock),
      random,
      log,
      disk: life.thing(disk),
      client: connect(life.network(line), { token: live.token, sign: live.signCall }),
      executor: life.thing(executor),
      home,
      binding: live,
      host,
      options: { slots: 2, ...given },
    })
    pool.swarm = swarm
    pool.end = undefined
    pool.kill = () => {
      life.end()
      disk.processEnd()
    }
    void swarm.run().then((end) => {
      if (!life.over()) pool.end = end
    })
    await clock.settle()
  }

  await start()
  return pool
}

interface ProcessLife {
  end(): void
  over(): boolean
  thing<T extends object>(thing: T): T
  clock(clock: Clock): Clock
  network(line: Line): Line['network']
}

/** A life that ends as by kill -9: a dead process neither does anything nor learns anything. */
function createLife(): ProcessLife {
  const never = new Promise<never>(() => {})
  const dying = new AbortController()
  const over = () => dying.signal.aborted
  const outlive = <T>(it: T): T | Promise<never> => {
    if (over()) return never
    return typeof it === 'object' && it !== null && 'append' in it ? thing(it) : it
  }
  function thing<T extends object>(mortal: T): T {
    return new Proxy(mortal, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          if (over()) return never
          const result: unknown = Reflect.apply(value, target, args)
          return result instanceof Promise ? result.then(outlive) : result
        }
      },
    })
  }
  return {
    end: () => dying.abort(),
    over,
    thing,
    clock: (clock) => ({ ...clock, after: (ms, run) => clock.after(ms, () => (over() ? undefined : run())) }),
    network: (line) => (call) => {
      if (over()) return never
      // The kernel closes the sockets of a dead process, so pond sees its calls end.
      const signal = AbortSignal.any([dying.signal, ...(call.signal ? [call.signal] : [])])
      return line.network({ ...call, signal }).catch((error: unknown) => (over() ? never : Promise.reject(error)))
    },
  }
}
