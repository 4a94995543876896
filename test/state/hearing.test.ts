// Whether a swarm hears pond: what completes a poll, what proves nothing, and when a session is deaf.
import fc from 'fast-check'
import t from 'tap'
import { type Heard, type Hearing, hear, isDeaf, isHearing } from '../../src/state/hearing.ts'

const WITHIN_MS = 65_000

/** What the polls of a session come to, each with its time. */
function after(...polls: readonly (readonly [number, Heard])[]): Hearing {
  const [first, ...others] = polls
  if (!first) throw new Error('a session begins with a poll')
  return others.reduce((hearing, [at, said]) => hear(hearing, said, at), hear(undefined, first[1], first[0]))
}

t.test('a poll is completed when a later one says so, and not when it comes', (t) => {
  const first = after([0, { seq: 1, heard: 0 }])
  t.notOk(isHearing(first, 0, WITHIN_MS))
  const second = hear(first, { seq: 2, heard: 1 }, 500)
  t.ok(isHearing(second, 500, WITHIN_MS))
  t.ok(isHearing(second, 500 + WITHIN_MS - 1, WITHIN_MS))
  t.notOk(isHearing(second, 500 + WITHIN_MS, WITHIN_MS))
  t.end()
})

t.test('what proves nothing', (t) => {
  const said = {
    'the same once more': after([0, { seq: 1, heard: 0 }], [1, { seq: 2, heard: 1 }], [90_000, { seq: 3, heard: 1 }]),
    'an older one': after([0, { seq: 1, heard: 0 }], [1, { seq: 3, heard: 2 }], [90_000, { seq: 4, heard: 1 }]),
    'of a former life of pond': after([90_000, { seq: 58, heard: 57 }]),
    'of a poll to come': after([90_000, { seq: 1, heard: 1 }], [90_000, { seq: 2, heard: 9 }]),
  }
  for (const [what, hearing] of Object.entries(said)) t.notOk(isHearing(hearing, 90_000, WITHIN_MS), what)
  t.end()
})

t.test('deaf: polls come, and none was heard for hold and grace', (t) => {
  const deaf = after([0, { seq: 1, heard: 0 }], [66_000, { seq: 2, heard: 0 }])
  t.ok(isDeaf(deaf, 66_000, WITHIN_MS))
  t.notOk(isDeaf(after([0, { seq: 1, heard: 0 }]), 66_000, WITHIN_MS), 'the first one had no reply to hear of')
  t.notOk(isDeaf(after([0, { seq: 1, heard: 0 }], [500, { seq: 2, heard: 0 }]), 500, WITHIN_MS), 'it had no time')
  t.notOk(isDeaf(hear(deaf, { seq: 3, heard: 2 }, 67_000), 67_000, WITHIN_MS), 'it hears again')
  t.end()
})

t.test('a swarm of a step that cannot say is believed', (t) => {
  const hearing = after([0, { seq: 1, heard: undefined }])
  t.ok(isHearing(hearing, 0, WITHIN_MS))
  t.notOk(isDeaf(hear(hearing, { seq: 2, heard: undefined }, 900_000), 900_000, WITHIN_MS))
  t.end()
})

t.test('never both, and hearing only by what was said in time', (t) => {
  const poll = fc.record({ gapMs: fc.nat(100_000), heard: fc.nat(30) })
  fc.assert(
    fc.property(fc.array(poll, { minLength: 1, maxLength: 25 }), fc.nat(200_000), (polls, laterMs) => {
      let now = 0
      let hearing: Hearing | undefined
      let newest = 0
      let newsAt = Number.NEGATIVE_INFINITY
      for (const [index, { gapMs, heard }] of polls.entries()) {
        now += gapMs
        const seq = index + 1
        hearing = hear(hearing, { seq, heard }, now)
        if (heard > newest && heard < seq) [newest, newsAt] = [heard, now]
      }
      now += laterMs
      if (!hearing) return
      const isHeard = isHearing(hearing, now, WITHIN_MS)
      t.equal(isHeard, now - newsAt < WITHIN_MS)
      t.notOk(isHeard && isDeaf(hearing, now, WITHIN_MS))
    }),
  )
  t.end()
})
