// Whether a swarm hears pond: what completes a poll, what proves nothing, and when a session is deaf.
import fc from 'fast-check'
import t from 'tap'
import { type Heard, type Hearing, hear, isDeaf, isHearing } from '../../src/state/hearing.ts'

const WITHIN_MS = 65_000

/** The second poll says so in time. */
const SOON: Heard = { seq: 2, heard: 1, answeredAt: 400 }

/** A poll of which the swarm says nothing was heard. */
const nothing = (seq: number): Heard => ({ seq, heard: 0, answeredAt: undefined })

/** What the polls of a session come to, each with its time. */
function after(...polls: readonly (readonly [number, Heard])[]): Hearing {
  const [first, ...others] = polls
  if (!first) throw new Error('a session begins with a poll')
  return others.reduce((hearing, [at, said]) => hear(hearing, said, at), hear(undefined, first[1], first[0]))
}

t.test('a poll is completed when a later one says so, counted from its reply, and not when it comes', (t) => {
  const first = after([0, nothing(1)])
  t.notOk(isHearing(first, 0, WITHIN_MS))
  const second = hear(first, SOON, 500)
  t.ok(isHearing(second, 500, WITHIN_MS))
  t.ok(isHearing(second, 400 + WITHIN_MS - 1, WITHIN_MS))
  t.notOk(isHearing(second, 400 + WITHIN_MS, WITHIN_MS))
  t.notOk(isHearing(hear(first, SOON, 400 + WITHIN_MS), 400 + WITHIN_MS, WITHIN_MS), 'it comes too late to say so')
  t.end()
})

t.test('what proves nothing', (t) => {
  const later = (seq: number, heard: number): Heard => ({ seq, heard, answeredAt: 90_000 })
  const said = {
    'the same once more': after([0, nothing(1)], [500, SOON], [90_000, later(3, 1)]),
    'an older one': after([0, nothing(1)], [500, { seq: 3, heard: 2, answeredAt: 400 }], [90_000, later(4, 1)]),
    'of a former life of pond': after([90_000, { seq: 58, heard: 57, answeredAt: undefined }]),
    'of a poll to come': after([90_000, later(1, 1)], [90_000, later(2, 9)]),
  }
  for (const [what, hearing] of Object.entries(said)) t.notOk(isHearing(hearing, 90_000, WITHIN_MS), what)
  t.end()
})

t.test('deaf: polls come, and none was heard for hold and grace', (t) => {
  const deaf = after([0, nothing(1)], [66_000, nothing(2)])
  t.ok(isDeaf(deaf, 66_000, WITHIN_MS))
  t.notOk(isDeaf(after([0, nothing(1)]), 66_000, WITHIN_MS), 'the first one had no reply to hear of')
  t.notOk(isDeaf(after([0, nothing(1)], [500, nothing(2)]), 500, WITHIN_MS), 'it had no time')
  const again = hear(deaf, { seq: 3, heard: 2, answeredAt: 66_000 }, 900_000)
  t.notOk(isDeaf(again, 900_000, WITHIN_MS), 'it hears again, and was only long away')
  t.end()
})

t.test('a swarm of a step that cannot say is believed', (t) => {
  const hearing = after([0, { seq: 1, heard: undefined, answeredAt: undefined }])
  t.ok(isHearing(hearing, 0, WITHIN_MS))
  t.notOk(isDeaf(hear(hearing, { seq: 2, heard: undefined, answeredAt: undefined }, 900_000), 900_000, WITHIN_MS))
  t.end()
})

t.test('never both, and hearing only by a reply that was sent in time', (t) => {
  const poll = fc.record({ gapMs: fc.nat(100_000), heard: fc.nat(30), onWayMs: fc.nat(100_000) })
  fc.assert(
    fc.property(fc.array(poll, { minLength: 1, maxLength: 25 }), fc.nat(200_000), (polls, laterMs) => {
      let now = 0
      let hearing: Hearing | undefined
      let newest = 0
      let sentAt = Number.NEGATIVE_INFINITY
      for (const [index, { gapMs, heard, onWayMs }] of polls.entries()) {
        now += gapMs
        const seq = index + 1
        const answeredAt = now - onWayMs
        hearing = hear(hearing, { seq, heard, answeredAt }, now)
        if (heard > newest && heard < seq) [newest, sentAt] = [heard, answeredAt]
      }
      now += laterMs
      if (!hearing) return
      const isHeard = isHearing(hearing, now, WITHIN_MS)
      t.equal(isHeard, now - sentAt < WITHIN_MS)
      t.notOk(isHeard && isDeaf(hearing, now, WITHIN_MS))
    }),
  )
  t.end()
})
