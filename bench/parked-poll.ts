// Ten thousand parked polls: what each weighs in pond's memory, and how fast the one is answered that gets a job.

import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { createNetwork } from '../src/client/network.ts'
import type { PollReply } from '../src/protocol/orch.ts'
import { OLDEST_PROTOCOL } from '../src/protocol/version.ts'
import { systemClock } from '../src/system/clock.ts'
import { makeFolder, removeFolder, residentKb } from './child.ts'
import { interleave, note, percentile, printFigure, type Sample } from './figure.ts'
import { startLeastServer } from './least-rig.ts'
import { type Poller, pairPoller } from './poller.ts'
import { connect, startPond, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const POLLS = 10_000
const WAKES = 200
const CODE_USES = 1000
/** At a time, while pairing and parking. */
const CROWD = 100
/** Until pond has parked what was sent and its heap has come to rest. */
const REST_MS = 2000

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A pool of connections, each with one poll in it. */
function createLot(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  let told: (reply: unknown) => void = () => {}
  return {
    /** The next reply to any poll. */
    next: () =>
      new Promise<unknown>((resolve) => {
        told = resolve
      }),
    /** Resolves once the poll is written. */
    park(path: string, body: object, poller?: Poller): Promise<void> {
      const bytes = Buffer.from(JSON.stringify(body))
      const fresh = () => ({ createdMs: Date.now(), nonce: randomBytes(16) })
      const call = request(url + path, {
        agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(poller && {
            authorization: `Bearer ${poller.token}`,
            ...poller.sign({ method: 'POST', path, search: '', headers: {}, body: bytes }, fresh()),
          }),
        },
      })
      call.on('response', async (reply) => {
        const parts: Buffer[] = []
        for await (const part of reply) parts.push(part as Buffer)
        told(JSON.parse(Buffer.concat(parts).toString()))
      })
      // The server that goes away at the end takes its polls with it.
      call.on('error', () => {})
      return new Promise((resolve) => call.end(bytes, resolve))
    },
    close: () => agent.destroy(),
  }
}

async function pairAll(folder: string): Promise<Poller[]> {
  const pond = await startPond(folder)
  const network = createNetwork({ clock: systemClock })
  const pollers: Poller[] = []
  try {
    for (let done = 0; done < POLLS; done += CODE_USES) {
      const printed = await pond.makeCode(CODE_USES)
      const code = printed.slice(printed.lastIndexOf('#') + 1)
      for (let crowd = 0; crowd < CODE_USES; crowd += CROWD) {
        const made = Array.from({ length: CROWD }, (_, index) =>
          pairPoller(pond, network, { code, name: `p${done + crowd + index}` }),
        )
        pollers.push(...(await Promise.all(made)))
      }
      note(`paired ${pollers.length} of ${POLLS}`)
    }
  } finally {
    await network.close()
    await pond.stop()
  }
  return pollers
}

interface Parking {
  readonly pid: number
  parkAll(): Promise<void>
  /** Submits one job and resolves when a poll has brought it. */
  wake(): Promise<void>
  /** Ends that job and parks the poll anew. */
  settle(): Promise<void>
}

async function measure({ pid, parkAll, wake, settle }: Parking): Promise<Sample> {
  await rest(REST_MS)
  const before = residentKb(pid, 'now')
  await parkAll()
  await rest(REST_MS)
  const kbPerPoll = (residentKb(pid, 'now') - before) / POLLS
  const times: number[] = []
  for (let count = 0; count < WAKES; count++) {
    const began = performance.now()
    await wake()
    times.push(performance.now() - began)
    await settle()
  }
  return { value: percentile(times, 50), extras: { p99: percentile(times, 99), kb_per_poll: kbPerPoll } }
}

async function inCrowds(count: number, one: (index: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += CROWD) {
    await Promise.all(Array.from({ length: Math.min(CROWD, count - start) }, (_, index) => one(start + index)))
  }
}

async function inPond(folder: string, pollers: readonly Poller[]): Promise<Sample> {
  const pond = await startPond(folder)
  const lot = createLot(pond.url)
  const network = createNetwork({ clock: systemClock })
  const session = randomBytes(12).toString('base64url')
  const byWorker = new Map(pollers.map((poller) => [poller.worker, poller]))
  const park = (poller: Poller) => {
    poller.seq += 1
    return lot.park(
      '/orch/poll',
      {
        ...{
          protocol: OLDEST_PROTOCOL,
          session,
          seq: poller.seq,
          claim_key: `${session}.${poller.seq}`,
          wait_ms: 50_000,
        },
        ...{ workers: [{ worker_id: poller.worker, free: { slots: 1 } }], have: [] },
      },
      poller,
    )
  }
  let told: PollReply['intents'][number] | undefined
  try {
    return await measure({
      pid: pond.pid,
      parkAll: () => inCrowds(pollers.length, async (index) => pollers[index] && park(pollers[index])),
      async wake() {
        const next = lot.next() as Promise<PollReply>
        await submit(pond, { command: ['/bin/true'], idempotent: true })
        told = (await next).intents[0]
      },
      async settle() {
        const poller = byWorker.get(told?.worker_id ?? '')
        if (!told || !poller) throw new Error('a poll was answered without a job')
        const { job_id, claim_id, claim_token } = told
        const word = {
          job_id,
          claim_id,
          claim_token,
          state: 'final',
          cause: 'exit',
          rc: 0,
          ended_at: Date.now(),
        } as const
        const heard = await connect(pond.url, network.request, poller).call('sendWords', {
          body: { words: [word] },
        })
        if (!heard.ok) throw new Error(heard.error.message)
        await park(poller)
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
      parkAll: () => inCrowds(POLLS, () => lot.park('/poll', {})),
      async wake() {
        const next = lot.next()
        await server.submit([['/bin/true']])
        await next
      },
      settle: () => lot.park('/poll', {}),
    })
  } finally {
    lot.close()
    await server.stop()
  }
}

export async function parkedPoll({ runs }: BenchOptions): Promise<void> {
  const folder = makeFolder()
  const pollers = await pairAll(folder)
  const samples = await interleave(runs, { pond: () => inPond(folder, pollers), least: () => inLeast() })
  await removeFolder(folder)
  const facts = { polls: POLLS }
  const weigh = (own: readonly Sample[]) => own.map(({ extras }) => ({ value: extras?.kb_per_poll ?? Number.NaN }))
  // It begins with the submit: two commits and two replies are in it, on both sides.
  printFigure({
    bench: 'poll-wake',
    unit: 'ms p50',
    own: samples.pond,
    against: { name: 'least server', samples: samples.least },
    facts,
  })
  const against = { name: 'least server', samples: weigh(samples.least) }
  printFigure({ bench: 'poll-memory', unit: 'KB', own: weigh(samples.pond), against, facts })
}
