// The power goes under pond and its load: `npm run soak -- power-cut` does so for as long as one likes.
import t from 'tap'
import { powerCutPond } from '../soak/power-cut.ts'

t.test('what pond acknowledged is there when the power is back', async (t) => {
  const { faults, ends, starts, checked } = await powerCutPond({ seed: 1, jobs: 60, kills: 3 })
  t.strictSame(faults, [])
  t.comment(`${starts} starts: ${JSON.stringify(ends)}; acknowledged: ${JSON.stringify(checked)}`)
})
