// Which dead letters a replay of many may name.
import t from 'tap'
import { endedRoutes } from '../../src/protocol/ended.ts'

t.test('a replay of many says which', async (t) => {
  const { body } = endedRoutes.replayJobs
  for (const named of [{ cause: 'exit' }, { label: 'a=b' }, { array: `job_${'0'.repeat(26)}`, most: 1 }]) {
    t.ok(body.safeParse(named).success)
  }
  for (const bad of [{}, { most: 5 }, { cause: 'none' }, { label: 'a=b', most: 1001 }, { label: 'a=b', most: 0 }]) {
    t.notOk(body.safeParse(bad).success)
  }
})
