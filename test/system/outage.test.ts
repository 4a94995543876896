// Pond is gone, or nothing between it and swarm answers, for longer than the lease: `npm run soak -- outage` does the same for ten minutes.
import t from 'tap'
import { blackHole, outage } from '../soak/outage.ts'

const options = { awayMs: 12_000, lease: '4s' }

t.test('pond is gone while jobs print and end: all of it arrives, and nothing ran twice', async (t) => {
  const { faults, ...seen } = await outage(options)
  t.strictSame(faults, [])
  t.comment(JSON.stringify(seen))
})

t.test('a dead proxy kills nothing: what asked to be held comes back, the rest is kept beside its job', async (t) => {
  const { faults, ...seen } = await blackHole(options)
  t.strictSame(faults, [])
  t.comment(JSON.stringify(seen))
})
