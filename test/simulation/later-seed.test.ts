// More worlds beside those of seed.test.ts, in a process of their own.
import t from 'tap'
import { holdAll } from './seed-range.ts'

t.test('every law holds, and the world comes in by parameter', (t) => holdAll(t, { from: 101, to: 200 }))
