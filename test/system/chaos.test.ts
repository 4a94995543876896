// Kills, stops, full and failing disks and a broken network while jobs run and submits go on: a short round of each part that `npm run soak` runs at length.
import t from 'tap'
import { chaos } from '../soak/chaos.ts'
import { chaosPond } from '../soak/chaos-pond.ts'
import { chaosSwarm } from '../soak/chaos-swarm.ts'

t.test('pond is killed: nothing acknowledged is missing, nothing runs twice under a claim, all ends', async (t) => {
  const { faults, ends, starts } = await chaosPond({ seed: 1, jobs: 200, kills: 3 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}`)
})

t.test('swarm is killed: nothing of its old trees lives, and each job ends as it asked to', async (t) => {
  const { faults, ends, starts } = await chaosSwarm({ seed: 2, jobs: 200, kills: 3 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}`)
})

t.test('one of each at once, behind a proxy that breaks connections', async (t) => {
  const plan = {
    ...{ pond_killed: 1, pond_stopped: 1, pond_full: 1, eio_database: 1, eio_stream: 1 },
    ...{ swarm_killed: 2, swarm_stopped: 1, swarm_full: 1, eio_journal: 1 },
  }
  // No stall: half of a minute is gone before anybody may notice one.
  const shares = { reset: 0.25, cut: 0.25, swallow: 0.25, delay: 0.1 }
  const { faults, ends, starts, fired } = await chaos({
    seed: 3,
    jobs: 80,
    plan,
    shares,
    longestStopMs: 2000,
    mostLost: 0.2,
  })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}; felt: ${JSON.stringify(fired)}`)
})
