// kill -9 of pond and of swarm while jobs run and submits go on: a short round of each part that `npm run soak` runs at length.
import t from 'tap'
import { chaosPond } from '../soak/chaos-pond.ts'
import { chaosSwarm } from '../soak/chaos-swarm.ts'

t.test('pond is killed: nothing acknowledged is missing, nothing runs twice under a claim, all ends', async (t) => {
  const { faults, ends, starts } = await chaosPond({ seed: 1, jobs: 500, kills: 4 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}`)
})

t.test('swarm is killed: nothing of its old trees lives, and each job ends as it asked to', async (t) => {
  const { faults, ends, starts } = await chaosSwarm({ seed: 2, jobs: 500, kills: 4 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}`)
})
