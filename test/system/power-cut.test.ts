// The power goes under load, first under pond and then under swarm: `npm run soak -- power-cut` does so for as long as one likes.
import t from 'tap'
import { powerCutPond, powerCutSwarm } from '../soak/power-cut.ts'

t.test('what pond acknowledged is there when the power is back', async (t) => {
  const { faults, ends, starts, checked } = await powerCutPond({ seed: 1, jobs: 60, kills: 3 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}; acknowledged: ${JSON.stringify(checked)}`)
})

t.test('what swarm had begun does not begin again when the power is back', async (t) => {
  const { faults, ends, starts } = await powerCutSwarm({ seed: 2, jobs: 60, kills: 3 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}`)
})
