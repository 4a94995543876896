// Each fault of a network in the middle of each thing that a job does over it, and what must be true afterwards.
import type { FaultName } from '../harness/nat.ts'
import { createNetworkRig, type NetworkJob, type NetworkRig } from '../harness/network-rig.ts'
import { until, within } from '../harness/process-rig.ts'

/**
 * `poll`: it is held, and a job is submitted into it. `chunk`, `artifact`: their bytes are on the way. `final`: so is the last word, behind the
 * tail of its output where that is sealed.
 */
export const moments = ['poll', 'chunk', 'artifact', 'final'] as const

export type Moment = (typeof moments)[number]

export interface Cell {
  readonly fault: FaultName
  readonly moment: Moment
  readonly sealed: boolean
}

export interface CellReport extends Cell {
  /** What shows that the fault was there. */
  readonly fired: string
  /** From its end until pond had completed another poll of swarm. */
  readonly onlineAfterMs: number
  /** Each is one broken promise in a sentence. */
  readonly faults: readonly string[]
}

/** A pond that finds out quickly, and still gives a worker longer than any of these faults lasts. */
const flags = ['--lease', '80s', '--poll-hold', '4s']
/** In the last moment nothing else is on the way. */
const artifactBytes = { poll: 1000, chunk: 1000, artifact: 6_000_000, final: 0 } as const
/** Slower than the job talks, so that what it said is always on the way. */
const TALK_RATE = 250_000
const ARTIFACT_RATE = 1_500_000
/** Faults under which calls still go through last so long. */
const BEARABLE_MS = 8000

/** A pond, a NAT, a swarm and one fault between them. */
export async function runCell(cell: Cell): Promise<CellReport> {
  const net = await createNetworkRig({ flags })
  try {
    const job = await net.start({ name: 'job', sealed: cell.sealed, artifactBytes: artifactBytes[cell.moment] })
    await until('its start', () => job.hasStarted())
    const { fired, healedAt, also = [] } = await stages[cell.moment]({ ...cell, net, job })
    const onlineAfterMs = (await net.online(healedAt)) - healedAt
    job.letGo()
    const faults = (await Promise.all([job, ...also].map((one) => one.judge()))).flat()
    const openings = await net.nat.openings()
    if (openings > 0) faults.push(`pond would have opened ${openings} connections`)
    return { ...cell, fired, onlineAfterMs, faults: [...faults, ...complaints(net)] }
  } finally {
    await net.close()
  }
}

interface Stage extends Cell {
  readonly net: NetworkRig
  readonly job: NetworkJob
}

interface Played {
  readonly fired: string
  readonly healedAt: number
  /** Further jobs that must be well. */
  readonly also?: readonly NetworkJob[]
}

const stages: Readonly<Record<Moment, (stage: Stage) => Promise<Played>>> = {
  async poll(stage) {
    const { net, fault, sealed } = stage
    // A poll that was just completed is followed by one that is held.
    await net.online(Date.now())
    const heal = await net.nat.begin(fault)
    // Pond answers the held poll with it, into whatever the network is now.
    const second = await net.start({ name: 'second', sealed, artifactBytes: artifactBytes.poll })
    second.letGo()
    return { ...(await endure(stage, heal)), also: [second] }
  },
  async chunk(stage) {
    const { net, job, fault } = stage
    const free = await net.nat.throttle(TALK_RATE)
    job.talk()
    await sent(net, 2 * TALK_RATE)
    const played = await endure(stage, await net.nat.begin(fault))
    await free()
    return played
  },
  async artifact(stage) {
    const { net, job, fault } = stage
    const free = await net.nat.throttle(ARTIFACT_RATE)
    job.letGo()
    await until('the last byte of its process', () => job.isDone())
    await sent(net, ARTIFACT_RATE)
    await mustRun(stage)
    const played = await endure(stage, await net.nat.begin(fault))
    await free()
    return played
  },
  async final(stage) {
    const { net, job, fault } = stage
    // What breaks at once must find the word on its way: it waits in the socket of a pond that stands still.
    const frozen = fault === 'reset' || fault === 'forget'
    if (frozen) net.rig.pond().signal('SIGSTOP')
    const heal = frozen ? undefined : await net.nat.begin(fault)
    job.letGo()
    await until('the last byte of its process', () => job.isDone())
    // One is the poll that tells of a free slot.
    if (frozen) await until('a call beside the poll', async () => (await net.nat.unread()) > 1)
    const begun = heal ?? (await net.nat.begin(fault))
    if (frozen) net.rig.pond().signal('SIGCONT')
    return endure(stage, begun)
  },
}

/** Until swarm has noticed what it cannot bear, or for a while, or not at all where there is nothing to wait for. */
async function endure({ net, fault }: Stage, heal: () => Promise<string>): Promise<Played> {
  const failed = net.rig.logged('call.unreachable').length
  const noticed = () => net.rig.logged('call.unreachable').length > failed
  if (fault === 'loss' || fault === 'latency') await within('', (resolve) => setTimeout(resolve, BEARABLE_MS))
  else if (fault !== 'reset' && fault !== 'forget') await until('a call that fails', noticed)
  const fired = await heal()
  return { fired, healedAt: Date.now() }
}

async function sent({ nat }: NetworkRig, bytes: number): Promise<void> {
  const before = await nat.sentBytes()
  await until(`${bytes} bytes on the way`, async () => (await nat.sentBytes()) - before > bytes)
}

async function mustRun({ net, job }: Stage): Promise<void> {
  const answer = await net.rig.client.persist('getJob', { params: { id: job.id } })
  if (!answer.ok || answer.reply.state !== 'running') throw new Error('the moment was missed')
}

/** What swarm says when it loses something. A claim that went back before it was confirmed is not lost: nothing of it ever ran. */
function complaints({ rig }: NetworkRig): readonly string[] {
  const events = ['stream_lost', 'spool_failed', 'artifacts_failed', 'claim_failed'] as const
  return events.filter((event) => rig.logged(event).length > 0).map((event) => `swarm logged ${event}`)
}
