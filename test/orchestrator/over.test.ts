// Claims that are over: forgotten when no call that may bring them once more is under way, and not before.
import t from 'tap'
import { Over } from '../../src/orchestrator/over.ts'

t.test('a claim is forgotten when the polls and the words of its time are answered', async (t) => {
  const over = new Over()
  over.add('a', { poll: 3, words: 7 })
  t.ok(over.has('a'))
  t.notOk(over.has('b'))
  for (const [poll, words] of [
    [3, 7],
    [4, 7],
    [3, 8],
  ] as const) {
    over.forget({ poll, words })
    t.ok(over.has('a'), `poll ${poll}, words ${words}`)
  }
  over.forget({ poll: 4, words: 8 })
  t.notOk(over.has('a'))
})

t.test('a thousand are many', async (t) => {
  const over = new Over()
  const added = Array.from({ length: 1000 }, (_, index) => over.add(`${index}`, { poll: 1, words: 1 }))
  t.equal(added.indexOf(true), 999)
  over.forget({ poll: 2, words: 2 })
  t.notOk(over.add('one more', { poll: 2, words: 2 }))
})
