// Ten thousand parked polls: what each weighs in pond's memory, how fast the one is answered that gets a job, and what they cost while nothing happens.
import { createNetwork } from '../src/client/network.ts'
import { limit } from '../src/protocol/limit.ts'
import type { PollReply } from '../src/protocol/orch.ts'
import { systemClock } from '../src/system/clock.ts'
import { cpuUs, makeFolder, removeFolder, residentKb } from './child.ts'
import { interleave, percentile, printFigure, type Sample } from './figure.ts'
import { startLeastServer } from './least-rig.ts'
import { createLot, type Waiting } from './lot.ts'
import { agreeAll, inCrowds, nextPoll, type Poller, pairAll } from './poller.ts'
import { connect, startPond, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const POLLS = 10_000
/** Its p99 is the tenth worst: of a few hundred it would be one collection of V8 that came or did not. */
const WAKES = 1000
/** The longest that pond holds a poll: each comes back so often. */
const HOLD_MS = limit.pollHoldMs
/** Until pond has parked what was sent and its heap has come to rest. */
const REST_MS = 2000

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

interface Side {
  readonly pid: number
  /** The next poll of one of them. */
  poll(index: number): Waiting
  isJob(reply: unknown): boolean
  submit(): Promise<unknown>
  /** Ends the job that a poll brought. */
  end(reply: unknown): Promise<void>
}

/** Polls, each sent again when it was answered, until the server goes away. */
function keepPolling({ poll, isJob }: Side) {
  let brought: (reply: unknown) => void = () => {}
  const again = async (first: Waiting, index: number): Promise<void> => {
    for (let waiting = first; ; ) {
      const reply = await waiting.answered
      if (reply === undefined) return
      if (isJob(reply)) brought(reply)
      waiting = poll(index)
      await waiting.sent
    }
  }
  return {
    startAll: () =>
      inCrowds(POLLS, async (index) => {
        const first = poll(index)
        await first.sent
        void again(first, index)
      }),
    nextJob: () =>
      new Promise<unknown>((resolve) => {
        brought = resolve
      }),
  }
}

async function measure(side: Side): Promise<Sample> {
  const { pid } = side
  await rest(REST_MS)
  const before = residentKb(pid, 'now')
  const { startAll, nextJob } = keepPolling(side)
  await startAll()
  await rest(REST_MS)
  const kbPerPoll = (residentKb(pid, 'now') - before) / POLLS
  const times: number[] = []
  for (let count = 0; count < WAKES; count++) {
    const submitted = performance.now()
    const brought = nextJob()
    await side.submit()
    const reply = await brought
    times.push(performance.now() - submitted)
    await side.end(reply)
  }
  const cpuBegan = cpuUs(pid)
  const began = performance.now()
  // Each comes back once in this time.
  await rest(HOLD_MS)
  const idlePercent = (cpuUs(pid) - cpuBegan) / 10 / (performance.now() - began)
  return {
    value: percentile(times, 50),
    extras: { p99: percentile(times, 99), kb_per_poll: kbPerPoll, idle_percent: idlePercent },
  }
}

async function inPond(folder: string, pollers: readonly Poller[]): Promise<Sample> {
  const pond = await startPond(folder)
  const lot = createLot(pond.url)
  const network = createNetwork({ clock: systemClock })
  const byWorker = new Map(pollers.map((poller) => [poller.worker, poller]))
  try {
    await agreeAll(pond, pollers)
    return await measure({
      pid: pond.pid,
      poll(index) {
        const poller = pollers[index]
        if (!poller) throw new Error('there are as many pollers as polls')
        return lot.call('/orch/poll', nextPoll(poller, HOLD_MS), poller)
      },
      isJob: (reply) => (reply as PollReply).intents.length > 0,
      submit: () => submit(pond, { command: ['/bin/true'], idempotent: true }),
      async end(reply) {
        const [intent] = (reply as PollReply).intents
        const poller = byWorker.get(intent?.worker_id ?? '')
        if (!intent || !poller) throw new Error('a poll was answered without a job')
        const { job_id, claim_id, claim_token } = intent
        const said = { state: 'final', cause: 'exit', rc: 0, ended_at: Date.now() } as const
        const words = [{ job_id, claim_id, claim_token, ...said }]
        const heard = await connect(pond.url, network.request, poller).call('sendWords', { body: { words } })
        if (!heard.ok) throw new Error(heard.error.message)
      },
    })
  } finally {
    lot.close()
    await network.close()
    await pond.stop()
  }
}

async function inLeast(): Promise<Sample> {
  const server = await startLeastServer()
  const lot = createLot(server.url)
  try {
    return await measure({
      pid: server.pid,
      poll: () => lot.call('/poll', { hold_ms: HOLD_MS }),
      isJob: (reply) => 'id' in (reply as object),
      submit: () => server.submit([['/bin/true']]),
      end: async () => {},
    })
  } finally {
    lot.close()
    await server.stop()
  }
}

export async function parkedPoll({ runs }: BenchOptions): Promise<void> {
  const folder = makeFolder()
  const pollers = await pairAll(folder, POLLS)
  const samples = await interleave(runs, { pond: () => inPond(folder, pollers), least: () => inLeast() })
  await removeFolder(folder)
  const facts = { polls: POLLS }
  const only = (name: string, own: readonly Sample[]) =>
    own.map(({ extras }) => ({ value: extras?.[name] ?? Number.NaN }))
  const print = (bench: string, unit: string, name: string) => {
    const against = { name: 'least server', samples: only(name, samples.least) }
    printFigure({ bench, unit, own: only(name, samples.pond), against, facts })
  }
  // It begins with the submit: two commits and two replies are in it, on both sides.
  const against = { name: 'least server', samples: samples.least }
  printFigure({ bench: 'poll-wake', unit: 'ms p50', own: samples.pond, against, facts })
  print('poll-wake-p99', 'ms', 'p99')
  print('poll-memory', 'KB', 'kb_per_poll')
  // Raw `node:http` that holds as long, and signs and checks nothing.
  print('poll-idle', '% of a core', 'idle_percent')
}
