// The power goes under pond and under swarm, with jobs running: `npm run soak -- power-cut` does so for as long as one likes.
import t from 'tap'
import { powerCutPond, powerCutSwarm } from '../soak/power-cut.ts'

t.test('what pond acknowledged is there when the power is back', async (t) => {
  const { faults, ends, starts, checked } = await powerCutPond({ seed: 1, jobs: 50, kills: 2 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}; acknowledged: ${JSON.stringify(checked)}`)
})

t.test('what swarm had begun and must not run twice does not run twice when the power is back', async (t) => {
  const { faults, ends, starts, caught } = await powerCutSwarm({ seed: 1, jobs: 40, kills: 2 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}; caught while running: ${caught}`)
})
