// Globs of jobs: what they mean, and that no glob takes more time than there is for all.
import t from 'tap'
import { createGlobs } from '../../src/orchestrator/glob.ts'
import { systemClock } from '../../src/system/clock.ts'

t.test('each path has the places of the globs that mean it', async (t) => {
  const globs = createGlobs(['*.csv', './out/**', 'a[1].txt', '**/*.{md,csv}', '['], systemClock)
  t.same(globs.match('a.csv'), [0, 3])
  t.same(globs.match('out/deep/b.md'), [1, 3])
  t.same(globs.match('a[1].txt'), [2], 'a name is a glob that means itself')
  t.same(globs.match('.hidden.csv'), [])
  t.same(globs.match('['), [4])
})

t.test('one that cannot be decided ends the search for all', async (t) => {
  const globs = createGlobs([`${'*a'.repeat(40)}b`, 'b'], systemClock)
  t.same(globs.match('b'), [1])
  t.equal(globs.match('a'.repeat(200)), undefined)
  t.equal(globs.match('b'), undefined)
})

t.test('many that are slow end it too', async (t) => {
  let now = 0
  const globs = createGlobs(['*'], { monotonic: () => (now += 500) })
  const answers = Array.from({ length: 20 }, () => globs.match('a') !== undefined)
  t.equal(answers.filter(Boolean).length, 10)
})
