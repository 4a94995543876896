// A whole orchestrator on a hand-driven clock, a disk in memory, a fake executor and a fake pond. It can be killed and started again.

import {
  type Binding,
  createSwarm,
  type KeySet,
  openHome,
  openLiveBinding,
  type RunEnd,
  type Swarm,
  type SwarmOptions,
} from '../../src/orchestrator/swarm.ts'
import type { LogFields } from '../../src/system/log.ts'
import type { Machine } from '../../src/system/machine.ts'
import { createFakeExecutor } from './fake-executor.ts'
import { createFakePond, fakeWorkerId } from './fake-pond-client.ts'
import { createMemoryDisk } from './memory-disk.ts'
import { createSeededRandom } from './seeded-random.ts'
import { bindingPair } from './signing-key.ts'
import { createVirtualClock } from './virtual-clock.ts'

const sealing = { publicKey: 'A'.repeat(43), privateKey: 'A'.repeat(43) }
const signing = bindingPair('s')
const keys: KeySet = { binding: bindingPair('b'), workers: [{ sealing, signing }] }

export const fakeBinding = {
  pond: 'http://pond.example',
  binding_id: `bnd_${'0'.repeat(26)}`,
  token: 'pond_bind_fake',
  pond_key: keys.binding.publicKey,
  project: 'default',
  name: 'box',
  binding_key: keys.binding.publicKey,
  workers: [
    {
      worker_id: fakeWorkerId,
      name: 'box',
      labels: {},
      resources: { slots: 2 },
      keys: { sealing_key: sealing.publicKey, signing_key: signing.publicKey },
    },
  ],
} as unknown as Binding

export const fakeKeys: KeySet = keys

export interface Life {
  readonly swarm: Swarm
  /** Set once `run` has ended. */
  end?: RunEnd
  /** Why `run` could not even begin. */
  failed?: unknown
  /** As after kill -9: from now on nothing of this life reaches pond or the disk. */
  die(): void
}

export interface SwarmRigOptions extends Partial<SwarmOptions> {
  readonly binding?: Binding
  readonly keys?: KeySet
  readonly machine?: Machine
}

export async function createSwarmRig(wish: SwarmRigOptions = {}) {
  const { binding = fakeBinding, keys = fakeKeys, machine, ...options } = wish
  const clock = createVirtualClock()
  const random = createSeededRandom(1)
  const disk = createMemoryDisk()
  const executor = createFakeExecutor()
  const pond = createFakePond({ clock, random })
  const home = await openHome(disk, '/home/swarm')
  await home.writeBinding(binding)
  await home.writeKeys(keys)
  const lines: { readonly event: string; readonly fields: LogFields }[] = []
  const note = (event: string, fields: LogFields = {}) => void lines.push({ event, fields })

  async function start(more: Partial<SwarmOptions> = {}): Promise<Life> {
    let dead = false
    const mortal = <T extends object>(thing: T) => mortalOf(thing, () => dead)
    const live = await openLiveBinding(home)
    if (!live) throw new Error('the home is paired')
    const swarm = createSwarm({
      clock: { ...clock, after: (ms, run) => clock.after(ms, () => (dead ? undefined : run())) },
      random,
      log: { info: note, warn: note, error: note },
      disk: mortal(disk),
      client: mortal(pond.connect(() => !dead)),
      executor: mortal(executor),
      home,
      renew: () => note('renewed'),
      binding: live,
      host: {
        os: 'linux',
        arch: 'x64',
        resources: { cpus: 4 },
        version: '0.0.0',
        load: () => 0.5,
        ...(machine && { machine }),
      },
      options: { slots: 2, ...options, ...more },
    })
    const life: Life = {
      swarm,
      die() {
        dead = true
        disk.processEnd()
      },
    }
    swarm.run().then(
      (end) => Object.assign(life, { end }),
      (failed: unknown) => Object.assign(life, { failed }),
    )
    await clock.settle()
    return life
  }

  return {
    clock,
    random,
    disk,
    executor,
    pond,
    home,
    lines,
    start,
    renewed: () => lines.filter(({ event }) => event === 'renewed').length,
  }
}

const isFile = (it: unknown): it is object => typeof it === 'object' && it !== null && 'append' in it

const never = new Promise<never>(() => {})

/** A dead process neither does anything nor learns anything. */
function mortalOf<T extends object>(thing: T, isDead: () => boolean): T {
  return new Proxy(thing, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (isDead()) return never
        const result: unknown = Reflect.apply(value, target, args)
        if (!(result instanceof Promise)) return result
        return result.then((it: unknown) => (isDead() ? never : isFile(it) ? mortalOf(it, isDead) : it))
      }
    },
  })
}
