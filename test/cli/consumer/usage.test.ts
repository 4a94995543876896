// pond usage: what pond told, in words and as JSON.
import t from 'tap'
import type { ProjectUsage } from '../../../src/protocol/quota.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'

const at = Date.UTC(2026, 10, 22, 23)
const nothing = { ended: {}, cpu_ms: 0, output_bytes: 0, run_ms: 0 }
const told: ProjectUsage = {
  ...{ project: 'web', at, queued: 3, running: 2, priority_most: 4 },
  quotas: [
    { name: 'queued', most: 10, used: 3 },
    { name: 'output_bytes_per_day', most: 2 ** 30, used: 2 ** 20, until: at + 3_600_000 },
  ],
  days: [
    { day: '2026-11-22', ended: { succeeded: 2, failed: 1 }, cpu_ms: 61_000, output_bytes: 2048, run_ms: 90_000 },
    { day: '2026-11-21', ...nothing },
    { day: '2026-11-20', ...nothing, is_least: true },
    { day: '2026-11-19', ended: { expired: 1 }, cpu_ms: 0, output_bytes: 0, run_ms: 0, is_least: true },
  ],
}

async function ask(...words: string[]) {
  const io = createFakeIo()
  io.pond.answers.getUsage = told
  const code = await pond(io, 'usage', ...words)
  return { code, query: io.pond.calls.find(({ name }) => name === 'getUsage')?.query, ...io.printed() }
}

t.test('what stands against the quotas, then day by day', async (t) => {
  const { code, out } = await ask()
  t.equal(code, 0)
  t.match(out, /waiting: +3\nrunning: +2\n/)
  t.match(out, /quota queued: +3 of 10\nquota output_bytes_per_day: +1\.0 MiB of 1\.0 GiB, whole again in 1 h\n/)
  t.match(out, /highest priority: +4\n/)
  t.match(out, /2026-11-22: 2 succeeded, 1 failed; CPU 1 min 1 s, ran 1 min 30 s, output 2\.0 KiB\n/)
  t.match(
    out,
    /2026-11-21: nothing ended\n2026-11-20: not counted: too many jobs ended since\n2026-11-19: at least 1 exp/,
  )
})

t.test('so many days, and as JSON what pond said', async (t) => {
  const { query, out } = await ask('--days', '31', '--json')
  t.match(query, { days: '31' })
  t.strictSame(JSON.parse(out), told)
  t.equal((await ask('--days', '32')).code, 2)
})
