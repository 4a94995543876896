// Which of the parked polls gets a job: the least loaded, and among equals the one whose worker has its bundle.
import t from 'tap'
import { ownLadder } from '../../../server/service/ladder.ts'
import { levelOf, Parking } from '../../../server/service/parking.ts'
import type { Session } from '../../../server/service/session.ts'
import { projectIdOf } from '../../contract/store-row.ts'

const session = (name: string): Session => ({
  ...{ session: name, seq: 1, contactAt: 0 },
  answered: [],
})
const [one, two] = [projectIdOf(1), projectIdOf(2)]
const namesOf = (sessions: Iterable<Session>) => [...sessions].map((it) => it.session)

t.test('the least loaded comes first, then who came first, then who is preferred among equals', async (t) => {
  const parking = new Parking()
  const [busy, idle, other, friend, open] = ['busy', 'idle', 'other', 'friend', 'open'].map(session)
  if (!busy || !idle || !other || !friend || !open) throw new Error('five sessions')
  const ladder = ownLadder(one)
  parking.add(busy, { ladder, level: 3 })
  parking.add(idle, { ladder, level: 0 })
  parking.add(other, { ladder, level: 0 })
  parking.add(friend, { ladder: { own: two, friends: new Set([one]), isPublic: false }, level: 1 })
  parking.add(open, { ladder: { own: two, friends: new Set(), isPublic: true }, level: 1 })
  t.strictSame(namesOf(parking.of(one)), ['idle', 'other', 'friend', 'open', 'busy'])
  t.strictSame(namesOf(parking.of(one, new Set([busy, other]))), ['other', 'idle', 'friend', 'open', 'busy'])
  t.strictSame(namesOf(parking.of(two)), ['friend', 'open'])
  t.strictSame(namesOf(parking.of(projectIdOf(3))), ['open'])
  parking.delete(idle)
  parking.delete(idle)
  parking.delete(friend)
  parking.delete(open)
  t.equal(parking.size, 2)
  t.strictSame(namesOf(parking.of(one)), ['other', 'busy'])
  t.strictSame(namesOf(parking.of(two)), [])
})

t.test('a load is idle or a quarter of what could run', async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4].map((claims) => levelOf(claims, 4)),
    [0, 1, 2, 3, 4],
  )
  t.equal(levelOf(1, 64), 1)
  t.equal(levelOf(64, 64), 4)
  t.equal(levelOf(9, 0), 4)
})
