// A thousand orchestrators that tell how they are, as often as they may and as seldom as they must: what of a core that takes.
import { loadavg } from 'node:os'
import { limit } from '../src/protocol/limit.ts'
import type { SnapshotBody } from '../src/protocol/orch.ts'
import { cpuUs, makeFolder, removeFolder } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { startLeastServer } from './least-rig.ts'
import { createLot, type Lot } from './lot.ts'
import { agreeAll, type Poller, pairAll } from './poller.ts'
import { startPond } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const ORCHESTRATORS = 1000
/** Each of them twice, before what is measured. */
const WARM_ROUNDS = 2
/** Of each cadence, how often all of them come while it is measured. */
const CADENCES = [
  { everyMs: limit.snapshotLeastMs, rounds: 5 },
  { everyMs: limit.snapshotMostMs, rounds: 1 },
] as const

type Cadence = (typeof CADENCES)[number]

/** What swarm tells of a machine with four slots; its load changes, as it does. */
function bodyOf({ worker, publicKey }: Poller, seq: number): object {
  const body: SnapshotBody = {
    session: 'a session of the bench',
    seq,
    workers: [
      {
        worker_id: worker as SnapshotBody['workers'][number]['worker_id'],
        keys: { sealing_key: publicKey, signing_key: publicKey },
        labels: {},
        resources: { slots: 4, cpus: 4, memory_bytes: 2 ** 33 },
        ...{ inflight: seq % 5, load: (loadavg()[0] ?? 0) + (seq % 7) / 10, version: 'bench' },
        ...{ os: 'linux', arch: 'x64', executor: 'process, cgroup', sandbox: 'none', state: 'ready', class: 'server' },
      },
    ],
  }
  return body
}

/** All of them once in that time, evenly, whatever became of the one before. */
async function push(send: (index: number) => Promise<void>, everyMs: number): Promise<void> {
  const began = performance.now()
  const sent: Promise<void>[] = []
  for (let index = 0; index < ORCHESTRATORS; index++) {
    const early = began + (index * everyMs) / ORCHESTRATORS - performance.now()
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
    sent.push(send(index))
  }
  await Promise.all(sent)
  const left = began + everyMs - performance.now()
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, left))
}

async function measure(
  pid: number,
  send: (index: number) => Promise<void>,
  { everyMs, rounds }: Cadence,
): Promise<Sample> {
  for (let round = 0; round < WARM_ROUNDS; round++) await push(send, limit.snapshotLeastMs)
  const [began, cpuBegan] = [performance.now(), cpuUs(pid)]
  for (let round = 0; round < rounds; round++) await push(send, everyMs)
  const cpu = cpuUs(pid) - cpuBegan
  return {
    value: cpu / 10 / (performance.now() - began),
    extras: { cpu_us_each: cpu / rounds / ORCHESTRATORS },
  }
}

const must = async ({ answered }: ReturnType<Lot['call']>) => {
  if ((await answered) === undefined) throw new Error('the server went away')
}

async function inPond(folder: string, pollers: readonly Poller[], cadence: Cadence): Promise<Sample> {
  const pond = await startPond(folder)
  const lot = createLot(pond.url)
  const send = async (index: number) => {
    const poller = pollers[index]
    if (!poller) return
    poller.seq += 1
    await must(lot.call('/orch/workers/snapshot', bodyOf(poller, poller.seq), poller))
  }
  try {
    await agreeAll(pond, pollers)
    return await measure(pond.pid, send, cadence)
  } finally {
    lot.close()
    await pond.stop()
  }
}

/** Reads the same bytes, and answers. */
async function inLeast(pollers: readonly Poller[], cadence: Cadence): Promise<Sample> {
  const server = await startLeastServer()
  const lot = createLot(server.url)
  let seq = 0
  const send = async (index: number) => {
    const poller = pollers[index]
    if (poller) await must(lot.call('/hear', bodyOf(poller, ++seq)))
  }
  try {
    return await measure(server.pid, send, cadence)
  } finally {
    lot.close()
    await server.stop()
  }
}

export async function snapshots({ runs }: BenchOptions): Promise<void> {
  const folder = makeFolder()
  const pollers = await pairAll(folder, ORCHESTRATORS)
  for (const cadence of CADENCES) {
    const samples = await interleave(runs, {
      pond: () => inPond(folder, pollers, cadence),
      least: () => inLeast(pollers, cadence),
    })
    printFigure({
      bench: `snapshots-${ORCHESTRATORS}`,
      unit: '% of a core',
      facts: { every_s: cadence.everyMs / 1000 },
      own: samples.pond,
      against: { name: 'least server, which reads and answers', samples: samples.least },
    })
  }
  await removeFolder(folder)
}
