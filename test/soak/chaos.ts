// Everything at once: pond and three swarms behind the fault proxy, killed, stopped, out of disk, failing to sync, while jobs run and submits go on.
import { join } from 'node:path'
import type { Random } from '../../src/system/random.ts'
import { createWorkload, judge, type Verdict } from '../harness/chaos-workload.ts'
import { type FaultProxy, type FaultProxyOptions, openFaultProxy } from '../harness/fault-proxy.ts'
import { createRig, type Rig } from '../harness/process-rig.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { type ChaosFault, pondFaults, type Seat, type Stage, startPond, swarmFaults } from './chaos-fault.ts'
import { killTimes } from './kill-time.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly jobs: number
  /** How often each fault is dealt out. */
  readonly plan: Readonly<Record<ChaosFault, number>>
  /** The longest that a program stands still, in milliseconds. */
  readonly longestStopMs: number
  /** Of all jobs, how many may be given up: for each fault the few that a swarm had in hand. */
  readonly mostLost: number
  /** Out of all connections so many meet a fault of the proxy. */
  readonly shares: FaultProxyOptions['shares']
}

export interface ChaosVerdict extends Verdict {
  /** How often each fault was felt. */
  readonly fired: Readonly<Record<string, number>>
}

const DISK_BYTES = 128 * 1024 * 1024
const SWARM_DISK_BYTES = 48 * 1024 * 1024
const SWARMS = 3
/** Short, so that what stands still for long is lost now and then, and comes back. */
const flags = ['--reserve', '4M', '--lease', '20s', '--poll-hold', '5s'] as const

/** A round of so many jobs in some three minutes of a machine that does nothing else. */
export const fullRound = {
  jobs: 700,
  plan: {
    pond_killed: 4,
    pond_stopped: 3,
    pond_full: 3,
    eio_database: 3,
    eio_stream: 3,
    swarm_killed: 6,
    swarm_stopped: 4,
    swarm_full: 3,
    eio_journal: 3,
  },
  longestStopMs: 20_000,
  mostLost: 0.05,
  shares: { reset: 0.2, stall: 0.04, cut: 0.2, delay: 0.2, swallow: 0.2, bad_gateway: 0.06 },
} as const

export async function chaos({
  seed,
  jobs,
  plan,
  longestStopMs,
  shares,
  mostLost,
}: ChaosOptions): Promise<ChaosVerdict> {
  const random = createSeededRandom(seed)
  const disk = mountSmallDisk(DISK_BYTES)
  const seats: Seat[] = []
  let proxy: FaultProxy | undefined
  const rig = await createRig({
    data: join(disk.folder, 'pond'),
    front: async (origin) => {
      proxy = await openFaultProxy({ origin, random: createSeededRandom(seed), shares })
      // Pairing is a person's one try.
      proxy.calm()
      return proxy.url
    },
  })
  try {
    await startPond({ rig, flags })
    if (!proxy) throw new Error('a rig that starts pond opens its front')
    const fired: Record<string, number> = {}
    const stage: Stage = { rig, proxy, disk, random, flags, longestStopMs, fired, faults: [], probes: [] }
    while (seats.length < SWARMS) seats.push(await takeSeat(rig))
    proxy.rouse()
    const workload = createWorkload({ folder: rig.folder, jobs, random, longestMs: 300 })
    const submitted = workload.submit(rig)
    const order = shuffle(plan, random)
    const parties = new Map<unknown, Promise<void>>()
    for await (const index of killTimes({ workload, random, kills: order.length })) {
      const seat = seats[index % SWARMS]
      const fault = order[index]
      if (!seat || !fault) throw new Error('there is one fault for each kill')
      // Each program meets its faults one behind the other; those of different ones overlap.
      const party = fault in swarmFaults ? seat : rig
      const turn = (parties.get(party) ?? Promise.resolve()).then(() => strike(stage, fault, seat))
      // Heard of at the end, with all the others.
      turn.catch(() => {})
      parties.set(party, turn)
      if (party === rig) await turn
    }
    await Promise.all(parties.values())
    await submitted
    proxy.calm()
    const others = (await Promise.all(stage.probes)).flat()
    const verdict = await judge(rig, workload, { mayLose: true, disksFail: true, mostLost, others })
    const felt = { ...fired, ...proxy.fired }
    return {
      ...verdict,
      fired: felt,
      faults: [...verdict.faults, ...stage.faults, ...missing(felt, { ...plan, ...shares })],
    }
  } finally {
    await rig.close()
    await proxy?.close()
    for (const one of [disk, ...seats.map((seat) => seat.disk)]) one.close()
  }
}

async function takeSeat(rig: Rig): Promise<Seat> {
  const disk = mountSmallDisk(SWARM_DISK_BYTES)
  const home = await rig.pair(join(disk.folder, 'swarm'), ['--slots', '4'])
  return { disk, home, swarm: await rig.startSwarm(home) }
}

async function strike(stage: Stage, fault: ChaosFault, seat: Seat): Promise<void> {
  if (fault in swarmFaults) await swarmFaults[fault as keyof typeof swarmFaults](stage, seat)
  else await pondFaults[fault as keyof typeof pondFaults](stage)
}

function shuffle(plan: ChaosOptions['plan'], random: Random): readonly ChaosFault[] {
  const all = Object.entries(plan).flatMap(([fault, count]) => Array<ChaosFault>(count).fill(fault as ChaosFault))
  const drawn = all.map((fault) => ({ fault, at: random.number() }))
  return drawn.sort((a, b) => a.at - b.at).map(({ fault }) => fault)
}

/** Chaos that was not felt shows nothing. */
function missing(fired: Readonly<Record<string, number>>, wanted: Readonly<Record<string, number>>): readonly string[] {
  const never = Object.keys(wanted).filter((fault) => wanted[fault] !== 0 && !fired[fault])
  return never.map((fault) => `${fault} was never felt`)
}
