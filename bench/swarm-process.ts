// A swarm as `swarm run` puts it together, in its own process, with ears: it tells its parent when jobs start and when pond has taken their last word.
import '../src/system/heap.ts'
import { loadavg } from 'node:os'
import type { Client } from '../src/client/contract.ts'
import { createNetwork } from '../src/client/network.ts'
import type { Executor } from '../src/executor/contract.ts'
import { createProcessExecutor } from '../src/executor/process.ts'
import { systemKeyPair } from '../src/orchestrator/key.ts'
import { createSwarm, openHome, openLiveBinding, pair } from '../src/orchestrator/swarm.ts'
import type { Signer } from '../src/seal/signature.ts'
import { systemClock } from '../src/system/clock.ts'
import { systemDisk } from '../src/system/disk.ts'
import { type Log, silentLog } from '../src/system/log.ts'
import { systemRandom } from '../src/system/random.ts'
import type { SwarmOrder } from './pond-rig.ts'
import { connect } from './pond-rig.ts'
import { createTally, now, tell } from './worker-report.ts'

const order = JSON.parse(process.argv[2] ?? '') as SwarmOrder & { url: string; code: string; home: string }
const network = createNetwork({ clock: systemClock })
const home = await openHome(systemDisk, order.home)
await pair(
  { home, makeKeyPair: systemKeyPair, connect: (sign) => connect(order.url, network.request, { sign }) },
  {
    pond: order.url,
    code: order.code.slice(order.code.lastIndexOf('#') + 1),
    name: 'bench',
    labels: {},
    resources: { slots: order.slots, cpus: 2, memory_bytes: 2 ** 30 },
  },
)
const binding = await openLiveBinding(home)
if (!binding) throw new Error('a paired home has a binding')
const tally = createTally()
const log: Log = {
  ...silentLog,
  info(event) {
    if (event === 'claim_done') tally.done()
    if (event === 'ready') tell({ type: 'ready' })
  },
  warn: (event, fields) => process.stderr.write(`swarm: ${event} ${JSON.stringify(fields)}\n`),
}

const bound = connect(order.url, network.request, { token: binding.token, sign: binding.signCall })
const swarm = createSwarm({
  client: order.unattested ? mute(bound) : bound,
  clock: systemClock,
  random: systemRandom,
  log,
  disk: systemDisk,
  executor: await executorOf(order),
  home,
  binding: order.unattested ? { ...binding, signerOf: (worker) => unsigned(binding.signerOf(worker)) } : binding,
  host: { os: process.platform, arch: process.arch, resources: {}, version: 'bench', load: () => loadavg()[0] ?? 0 },
  // Where nothing holds, the price of sealing can be measured all the same.
  options: { slots: order.slots, allowUnsandboxed: true },
})
process.once('SIGTERM', () => swarm.cancelAll())
await swarm.run()
process.exit(0)

async function executorOf({ executor, jobMs = 0, slots }: SwarmOrder): Promise<Executor> {
  let first = slots
  // The first of each slot is shorter, so that from then on the slots end their jobs one after another and not all at once.
  const timed = () => {
    const ms = first > 0 ? (jobMs * first--) / slots : jobMs
    return new Promise<void>((resolve) => setTimeout(resolve, ms))
  }
  switch (executor) {
    case 'noop':
      return emptyExecutor(() => undefined)
    case 'timed':
      return observed(emptyExecutor(timed))
    case 'process':
      return observed(await createProcessExecutor({ clock: systemClock, log, home: order.home, ...sandboxOf(order) }))
    default:
      return executor satisfies never
  }
}

function sandboxOf({ sandbox }: SwarmOrder) {
  return sandbox === undefined ? {} : { sandbox }
}

/** Does not sign, so that the price of signing shows. */
function unsigned({ publicKey }: Signer): Signer {
  return { publicKey, sign: () => Buffer.alloc(64) }
}

/** Leaves out what is not signed. */
function mute(client: Client): Client {
  return {
    call: (name, call) => client.call(name, call),
    open: (name, call) => client.open(name, call),
    skewMs: () => client.skewMs(),
    persist(name, call, onRetry) {
      const { attestation, ...body } = (call?.body ?? {}) as { readonly attestation?: unknown }
      return client.persist(name, attestation === undefined ? call : { ...call, body: body as never }, onRetry)
    },
  }
}

/** Nothing runs: what is left is the price of the queue. A job takes as long as it is told to wait. */
function emptyExecutor(wait: () => Promise<void> | undefined): Executor {
  const usage = { cpu_ms: 0, max_rss_bytes: 0, wall_ms: 0, sampled: false }
  const exit = { cause: 'exit', rc: 0, usage, eventsSkipped: 0 } as const
  const atOnce = Promise.resolve(exit)
  return {
    name: 'noop',
    rung: 'process-group',
    sandbox: 'none',
    folder: '/',
    gpus: [],
    start: async ({ claimId, jobId, attempt }) => ({
      trace: { claimId, jobId, attempt, pid: 0, startTime: '', cgroups: [] },
      work: '/',
      exited: wait()?.then(() => exit) ?? atOnce,
      terminate() {},
      async kill() {},
      async release() {},
    }),
    sweep: async () => 0,
    close: async () => {},
  }
}

/** The real executor. The moment that counts is the one when the process exists. */
function observed(executor: Executor): Executor {
  return {
    ...executor,
    async start(plan, watch) {
      const got = now()
      const output: typeof watch.output = (stream, bytes) => {
        tally.wrote(plan.jobId, bytes)
        return watch.output(stream, bytes)
      }
      const execution = await executor.start(plan, { ...watch, output })
      tally.started(plan.jobId, got)
      return execution
    },
  }
}
