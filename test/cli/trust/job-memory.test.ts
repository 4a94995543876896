// What is remembered of submitted jobs: read again as written, for its owner only, and swept when it is old.
import { mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { recallSubmitted, rememberSubmitted } from '../../../src/cli/trust/job-memory.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

const DAY_MS = 24 * 60 * 60 * 1000

t.test('read again, and what is no id names no file', async (t) => {
  const where = { home: t.testdir(), clock: createVirtualClock(), sweep: 0.5 }
  const known = { digest: 'd'.repeat(64), recipients: ['pond_recipient_x'] }
  await rememberSubmitted(where, fakeId('job', 1), known)
  const at = where.clock.now()
  t.same(await recallSubmitted(where.home, fakeId('job', 1)), { ...known, at })
  await where.clock.advance(1000)
  await rememberSubmitted(where, fakeId('job', 1), known)
  t.same(await recallSubmitted(where.home, fakeId('job', 1)), { ...known, at }, 'a repeat makes it no younger')
  t.equal(await recallSubmitted(where.home, fakeId('job', 2)), undefined)
  t.equal(await recallSubmitted(where.home, '../trust'), undefined)
  t.equal(statSync(join(where.home, 'jobs', `${fakeId('job', 1)}.json`)).mode & 0o777, 0o600)
})

t.test('what pond has long forgotten is swept, now and then', async (t) => {
  const home = t.testdir()
  const clock = createVirtualClock()
  mkdirSync(join(home, 'jobs'))
  const known = { digest: 'd'.repeat(64), recipients: [] }
  await rememberSubmitted({ home, clock, sweep: 0.5 }, fakeId('job', 1), known)
  const at = (clock.now() - 91 * DAY_MS) / 1000
  utimesSync(join(home, 'jobs', `${fakeId('job', 1)}.json`), at, at)
  await rememberSubmitted({ home, clock, sweep: 0.5 }, fakeId('job', 2), known)
  t.equal(readdirSync(join(home, 'jobs')).length, 2)
  await rememberSubmitted({ home, clock, sweep: 0.001 }, fakeId('job', 3), known)
  t.same(
    readdirSync(join(home, 'jobs')).sort(),
    [2, 3].map((at) => `${fakeId('job', at)}.json`),
  )
})
