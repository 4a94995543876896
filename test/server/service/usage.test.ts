// What a project used, day by day: of all attempts of the jobs that ended, for whoever may read it, and no more of it than one call can count.
import t from 'tap'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const DAY = 24 * 3_600_000
const word = (cpu_ms: number, bytes: number, rc = 0) => ({
  ...finalWord,
  rc,
  usage: { cpu_ms, max_rss_bytes: 1, wall_ms: 2 * cpu_ms, sampled: false },
  streams: { stdout: { bytes, sha256: '0'.repeat(64), produced: bytes, end: 'capped' as const } },
})

async function run(rig: PondRig, box: Machine, said: ReturnType<typeof word>): Promise<string> {
  const { id } = await submit(rig)
  await box.say(await box.start(), said)
  await rig.clock.settle()
  return id
}

const usage = async (rig: PondRig, query: Record<string, string> = {}) => (await rig.call('getUsage', { query })).reply

t.test('each day has the jobs that ended on it, with all their attempts; today is first', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await run(rig, box, word(1000.4, 10))
  await run(rig, box, word(500, 5, 1))
  rig.clock.jump(2 * DAY)
  await rig.clock.settle()
  const { id } = await submit(rig, { retry: { on: ['exit'], attempts: 2, backoff_ms: 0 } })
  await box.say(await box.start(), word(100, 1, 1))
  await rig.clock.advance(1000)
  await box.say(await box.start(), word(200, 2))
  t.equal((await jobOf(rig, id)).attempts, 2)
  const gone = await submit(rig)
  await rig.call('cancelJob', { params: { id: gone.id }, body: {} })
  await submit(rig)
  const view = await usage(rig, { days: '3' })
  const nothing = { ended: {}, cpu_ms: 0, output_bytes: 0, run_ms: 0 }
  t.match(view, { project: 'default', queued: 1, running: 0, quotas: [] })
  t.strictSame(view.days, [
    { day: '2026-01-03', ended: { cancelled: 1, succeeded: 1 }, cpu_ms: 300, output_bytes: 3, run_ms: 600 },
    { day: '2026-01-02', ...nothing },
    { day: '2026-01-01', ended: { failed: 1, succeeded: 1 }, cpu_ms: 1500, output_bytes: 15, run_ms: 3001 },
  ])
  t.equal((await usage(rig)).days.length, 7)
  t.strictSame((await usage(rig, { days: '1' })).days, view.days.slice(0, 1))
})

t.test('a key reads its own project, an admin the one that he names', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await run(rig, box, word(1000, 10))
  await rig.call('createProject', { body: { name: 'other' } })
  const { token } = (await rig.call('createKey', { body: { project: 'other', scopes: ['read'] } })).reply
  const own = await rig.call('getUsage', { token })
  t.match(own.reply, { project: 'other', days: [{ ended: {} }] })
  t.equal((await rig.call('getUsage', { token, query: { project: 'default' } })).code, 'forbidden')
  t.equal((await usage(rig, { project: 'other' })).project, 'other')
  t.equal((await rig.call('getUsage', { query: { project: 'nobody' } })).code, 'not_found')
  for (const days of ['0', '32']) t.equal((await rig.call('getUsage', { query: { days } })).code, 'invalid_field')
})

t.test('of more jobs than one call counts the latest are counted, and the days before say so', async (t) => {
  const rig = await createPondRig(t)
  const { store, clock } = rig.pond.services.core
  const at = clock.now()
  const asked: (number | undefined)[] = []
  const atOnce = (_: number, go: () => void) => {
    go()
    return () => {}
  }
  const core = {
    ...rig.pond.services.core,
    clock: { ...clock, now: () => at, after: atOnce },
    store: {
      ...store,
      read: async () => {
        asked.push(asked.length)
        const day = asked.length <= 40 ? at : at - DAY
        const row = { id: `job_${asked.length}`, state: 'succeeded', at: day, cpuMs: 1, runMs: 1, outputBytes: 1 }
        return Array.from({ length: 1000 }, () => row)
      },
    },
  } as unknown as typeof rig.pond.services.core
  const [projectId] = core.projects.keys()
  if (!projectId) throw new Error('there is a project')
  const { readUsage } = await import('../../../server/service/usage.ts')
  const { days } = await readUsage(core, projectId, 3)
  t.equal(asked.length, 100)
  t.match(days, [
    { ended: { succeeded: 40_000 }, is_least: undefined },
    { ended: { succeeded: 60_000 }, is_least: true },
    { ended: {}, is_least: true },
  ])
})
