// kill -9 of pond at random moments while jobs run and submits go on: what was acknowledged is there, nothing runs twice, all ends well.
import { sleep, systemClock } from '../../src/system/clock.ts'
import { createWorkload, judge, type Verdict } from '../harness/chaos-workload.ts'
import { createRig, type Rig } from '../harness/process-rig.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { type Chaos, killTimes } from './kill-time.ts'

/** One kill in so many hits a pond that has not begun to listen. */
const EARLY_EVERY = 4
/** Most of a start. */
const START_MS = 500

export async function chaosPond({ seed, jobs, kills }: Chaos): Promise<Verdict> {
  const random = createSeededRandom(seed)
  const rig = await createRig()
  try {
    await rig.startPond()
    const home = await rig.pair('chaos', ['--slots', '8'])
    await rig.startSwarm(home)
    const workload = createWorkload({ folder: rig.folder, jobs, random, longestMs: 300 })
    const submitted = workload.submit(rig)
    let count = 0
    for await (const _ of killTimes({ workload, random, kills })) {
      await rig.pond().crash()
      if (++count % EARLY_EVERY === 0) await startBriefly(rig, random.number() * START_MS)
      await rig.startPond()
    }
    await submitted
    return await judge(rig, workload, { mayLose: false })
  } finally {
    await rig.close()
  }
}

async function startBriefly(rig: Rig, aliveMs: number): Promise<void> {
  const started = rig.startPond().catch(() => {})
  await sleep(systemClock, aliveMs)
  await rig.pond().crash()
  await started
}
