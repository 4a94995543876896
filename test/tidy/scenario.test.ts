// The field failures of test/scenario/README.md: each is on record somewhere, and buried by a test that exists.
import t from 'tap'
import { absentIn, namedIn, rowsIn } from './named-test.ts'
import { readText } from './source.ts'

const page = readText('test/scenario/README.md')
const rows = rowsIn(page, 'Buried by')

t.test('each test that is named exists', async (t) => {
  t.ok(rows.length >= 20)
  t.strictSame(absentIn(page), [])
})

t.test('each row names one, and where the failure is on record', async (t) => {
  t.strictSame(
    rows.filter((row) => namedIn(row).length === 0 || !/\]\(https:\/\/[^)]+\)/.test(row)),
    [],
  )
})
