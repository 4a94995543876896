// What a claim costs by how much waits: a poll that finds a job in the queue, with few and many behind it, of one kind and of many.
import { createNetwork } from '../src/client/network.ts'
import type { JobSpec } from '../src/protocol/job.ts'
import type { Intent } from '../src/protocol/orch.ts'
import { OLDEST_PROTOCOL } from '../src/protocol/version.ts'
import { systemClock } from '../src/system/clock.ts'
import { makeFolder, removeFolder, residentKb } from './child.ts'
import { interleave, note, percentile, printFigure, type Sample } from './figure.ts'
import { pairPoller } from './poller.ts'
import { connect, type PondRig, startPond, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const DEPTHS = [100, 10_000, 1_000_000] as const
const KINDS_AT = 10_000
const KINDS = [1, 500] as const
const BATCH = 1000
const CLAIMS = 200
/** Long enough for a claim to be durable. */
const WAIT_MS = 5000
const FLAGS = ['--allow-unattested']

interface Line {
  readonly folder: string
  pond: PondRig
  measure(): Promise<Sample>
  stop(): Promise<void>
}

/** A pond of its own in which so many jobs wait, of so many requirement classes, all of which suit the one worker. */
async function openLine(depth: number, kinds = 1): Promise<Line> {
  const folder = makeFolder()
  const pond = await startPond(folder, FLAGS)
  const job = (index: number): JobSpec => ({
    ...{ command: ['true'], idempotent: true },
    ...(kinds > 1 ? { requires: { memory_bytes: 1 + (index % kinds) } } : {}),
  })
  for (let done = 0; done < depth; done += BATCH) {
    const count = Math.min(BATCH, depth - done)
    await submit(pond, { jobs: Array.from({ length: count }, (_, index) => job(done + index)) })
    if (done % 100_000 === 0) note(`${depth} jobs: ${done} are queued`)
  }
  const network = createNetwork({ clock: systemClock })
  const printed = await pond.makeCode()
  const code = printed.slice(printed.lastIndexOf('#') + 1)
  const { worker, token, sign } = await pairPoller(pond, network, { code, name: 'taker' })
  const client = connect(pond.url, network.request, { token, sign })
  let [seq, next] = [0, depth]
  const claim = async (): Promise<Intent> => {
    seq += 1
    const answer = await client.call('poll', {
      body: {
        ...{
          protocol: OLDEST_PROTOCOL,
          session: `session of ${worker}`,
          seq,
          claim_key: `key number ${seq}`,
          wait_ms: WAIT_MS,
        },
        ...{ workers: [{ worker_id: worker as Intent['worker_id'], free: { slots: 1 } }], have: [] },
      },
    })
    const [intent] = answer.ok ? answer.reply.intents : []
    if (!intent) throw new Error(`no job came: ${answer.ok ? 'none' : answer.error.message}`)
    return intent
  }
  const end = async ({ job_id, claim_id, claim_token }: Intent) => {
    const word = { job_id, claim_id, claim_token, state: 'final', cause: 'exit', rc: 0 } as const
    const answer = await client.call('sendWords', { body: { words: [word] } })
    if (!answer.ok) throw new Error(answer.error.message)
  }
  return {
    folder,
    pond,
    async measure() {
      const times: number[] = []
      for (let count = 0; count < CLAIMS; count++) {
        const began = performance.now()
        const intent = await claim()
        times.push(performance.now() - began)
        await end(intent)
        // So that as many wait as before.
        await submit(pond, job(next++))
      }
      return { value: percentile(times, 50), extras: { p99: percentile(times, 99) } }
    },
    async stop() {
      await network.close()
      await pond.stop()
    },
  }
}

export async function claimDepth({ runs }: BenchOptions): Promise<void> {
  await byDepth(runs)
  await byKinds(runs)
}

async function byDepth(runs: number): Promise<void> {
  const [least, middle, most] = [await openLine(DEPTHS[0]), await openLine(DEPTHS[1]), await openLine(DEPTHS[2])]
  // The shallow line is measured against itself too: its ratio is the noise.
  const samples = await interleave(runs, {
    few: least.measure,
    some: middle.measure,
    many: most.measure,
    again: least.measure,
  })
  const against = { name: `${DEPTHS[0]} queued`, samples: samples.few }
  for (const [queued, own] of [
    [DEPTHS[0], samples.again],
    [DEPTHS[1], samples.some],
    [DEPTHS[2], samples.many],
  ] as const) {
    printFigure({ bench: 'claim-depth', unit: 'ms', facts: { queued }, own, against })
  }
  const facts = { queued: DEPTHS[2] }
  const empty = [{ value: residentKb(least.pond.pid, 'now') / 1024 }]
  const full = [{ value: residentKb(most.pond.pid, 'now') / 1024 }]
  printFigure({ bench: 'queue-memory', unit: 'MiB', facts, own: full, against: { name: 'hardly any', samples: empty } })
  for (const line of [least, middle, most]) await line.stop()
  const starts: Sample[] = []
  for (let run = 0; run < runs; run++) {
    const began = performance.now()
    const again = await startPond(most.folder, FLAGS)
    starts.push({ value: (performance.now() - began) / 1000 })
    await again.stop()
  }
  printFigure({ bench: 'queue-start', unit: 's', facts, own: starts })
  for (const line of [least, middle, most]) await removeFolder(line.folder)
}

async function byKinds(runs: number): Promise<void> {
  const [one, many] = [await openLine(KINDS_AT, KINDS[0]), await openLine(KINDS_AT, KINDS[1])]
  const samples = await interleave(runs, { one: one.measure, many: many.measure })
  const against = { name: `${KINDS[0]} requirement class`, samples: samples.one }
  const facts = { queued: KINDS_AT, classes: KINDS[1] }
  printFigure({ bench: 'claim-classes', unit: 'ms', facts, own: samples.many, against })
  for (const line of [one, many]) {
    await line.stop()
    await removeFolder(line.folder)
  }
}
