// The table of refusals, and a refusal on its way.
import { STATUS_CODES } from 'node:http'
import t from 'tap'
import { type ErrorRow, errorTable, Refusal } from '../../src/protocol/error.ts'

t.test('every code has a real status, a class that fits it and a help in a sentence', async (t) => {
  for (const [code, row] of Object.entries<ErrorRow>(errorTable)) {
    t.match(code, /^[a-z]+(_[a-z]+)*$/, code)
    t.ok(row.status >= 400 && STATUS_CODES[row.status], `${code}: ${row.status}`)
    t.ok(['never', 'now', 'later'].includes(row.retry), `${code}: ${row.retry}`)
    t.match(row.help, /^[A-Z].*[.=]$/, `${code} says what to do`)
    if (row.status >= 500 || row.status === 429) t.equal(row.retry, 'later', `${code}: a fault of pond passes`)
  }
})

t.test('a refusal carries its code, its sentence and its facts', async (t) => {
  const refusal = new Refusal('chunk_gap', 'the stream stands at 7', { committed: 7 })
  t.ok(refusal instanceof Error)
  t.match(refusal, { name: 'Refusal', code: 'chunk_gap', message: 'the stream stands at 7', details: { committed: 7 } })
  t.strictSame(new Refusal('stale', 'x').details, {})
})
