// Two projects on one pool: a crowd of jobs stands in one, and a few come to the other. How long until those have started, in times of one job.
import { createNetwork } from '../src/client/network.ts'
import { systemClock } from '../src/system/clock.ts'
import { interleave, note, percentile, printFigure, type Sample } from './figure.ts'
import { connect, type PondRig, startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'
import { now, type Started } from './worker-report.ts'

const CROWD = 100_000
const BATCH = 1000
const FEW = 10
/** Both shares of the pool have room for the few. */
const SLOTS = 32
/** Long against a claim, so that what is seen is who comes next and not how fast. */
const JOB_MS = 2000
const COMMAND = ['true'] as [string]
const CROWDED = 'crowded'
const QUIET = 'quiet'

/** A pairing code whose machine serves both alike. */
async function shareBetween(pond: PondRig, projects: readonly string[]): Promise<string> {
  const body = { ladder: { friends: [...projects], public: false }, uses: 1 }
  const made = await pond.client.call('createPairingCode', { body })
  if (!made.ok) throw new Error(made.error.message)
  return made.reply.code
}

/** The part of a rig that submits to one project. */
function inProject(
  { url, token }: PondRig,
  network: ReturnType<typeof createNetwork>,
  project: string,
): Pick<PondRig, 'client'> {
  return { client: connect(url, network.request, { token, project }) }
}

export async function fairness({ runs }: BenchOptions): Promise<void> {
  const pond = await startPond()
  const network = createNetwork({ clock: systemClock })
  const [crowded, quiet] = [inProject(pond, network, CROWDED), inProject(pond, network, QUIET)]
  for (const name of [CROWDED, QUIET]) {
    const made = await pond.client.call('createProject', { body: { name } })
    if (!made.ok) throw new Error(made.error.message)
  }
  const code = await shareBetween(pond, [CROWDED, QUIET])
  for (let done = 0; done < CROWD; done += BATCH) {
    await submit(crowded, { jobs: Array.from({ length: BATCH }, () => ({ command: COMMAND, idempotent: true })) })
  }
  note(`${CROWD} jobs are queued`)
  const { child, stop } = await startSwarm(pond, { slots: SLOTS, executor: 'timed', jobMs: JOB_MS }, { code })
  child.say({ starts: true })
  const nextStart = () => child.hear<Started>('started')
  const samples = await interleave(runs, {
    few: async (): Promise<Sample> => {
      // The whole pool is busy with the crowd, and no slot is younger than the last one heard of.
      for (let heard = 0; heard < 2 * SLOTS; heard++) await nextStart()
      const began = now()
      const ids = new Set(
        await submit(quiet, { jobs: Array.from({ length: FEW }, () => ({ command: COMMAND, idempotent: true })) }),
      )
      const waits: number[] = []
      while (ids.size > 0) {
        const { job, at } = await nextStart()
        if (ids.delete(job)) waits.push(Number(BigInt(at) - began) / 1e6 / JOB_MS)
      }
      return { value: Math.max(...waits), extras: { first: Math.min(...waits), p50: percentile(waits, 50) } }
    },
  })
  await stop()
  await network.close()
  await pond.stop()
  const facts = { queued: CROWD, few: FEW, slots: SLOTS, job_ms: JOB_MS }
  printFigure({ bench: 'fairness', unit: 'times of one job', facts, own: samples.few })
}
