// kill -9 of swarm at random moments while it runs jobs: its next life leaves none of the old trees alive, and each job ends as it asked to.
import { createWorkload, judge, type Verdict } from '../harness/chaos-workload.ts'
import { createRig, marked } from '../harness/process-rig.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { type Chaos, killTimes } from './kill-time.ts'

export async function chaosSwarm({ seed, jobs, kills }: Chaos): Promise<Verdict> {
  const random = createSeededRandom(seed)
  const rig = await createRig()
  try {
    await rig.startPond()
    const home = await rig.pair('chaos', ['--slots', '8'])
    let swarm = await rig.startSwarm(home)
    const workload = createWorkload({ folder: rig.folder, jobs, random, longestMs: 300 })
    const submitted = workload.submit(rig)
    const survivors: string[] = []
    let orphans = 0
    for await (const kill of killTimes({ workload, random, kills })) {
      await swarm.crash()
      const left = marked(home)
      orphans += left.length
      swarm = await rig.startSwarm(home)
      const now = marked(home)
      const alive = left.filter(({ pid, startTicks }) =>
        now.some((one) => one.pid === pid && one.startTicks === startTicks),
      )
      survivors.push(...alive.map(({ pid }) => `process ${pid} outlived kill ${kill + 1} and the restart`))
    }
    await submitted
    const verdict = await judge(rig, workload, { mayLose: true })
    const idle = orphans === 0 ? ['no kill found a running job, so nothing was shown'] : []
    return { ...verdict, faults: [...verdict.faults, ...survivors, ...idle] }
  } finally {
    await rig.close()
  }
}
