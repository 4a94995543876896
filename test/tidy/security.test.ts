// SECURITY.md promises nothing without a test: each that it names exists, with that title.
import t from 'tap'
import { absentIn, namedIn, rowsIn } from './named-test.ts'
import { readText } from './source.ts'

const page = readText('SECURITY.md')

t.test('each test that is named exists', async (t) => {
  t.ok(namedIn(page).length >= 50)
  t.strictSame(absentIn(page), [])
})

t.test('each row names one', async (t) => {
  t.strictSame(
    rowsIn(page, 'Proved by').filter((row) => namedIn(row).length === 0),
    [],
  )
})

t.test('it can fail', async (t) => {
  const absent = ['no', 'such', 'title'].join(' ')
  t.strictSame(absentIn(`\`test/none.test.ts\`: “a”; \`test/tidy/security.test.ts\`: “${absent}”`), [
    'test/none.test.ts does not exist',
    `test/tidy/security.test.ts has no test “${absent}”`,
  ])
})
