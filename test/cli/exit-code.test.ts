// The table of exit codes: each code once, each error and each end of a job to its own.
import t from 'tap'
import { exitCode, exitOfError, exitOfJob, exitTable } from '../../src/cli/exit-code.ts'
import { type ErrorCode, errorTable } from '../../src/protocol/error.ts'

t.test('the table', async (t) => {
  const codes = Object.values(exitTable).map(({ code }) => code)
  t.equal(new Set(codes).size, codes.length)
  t.same(codes, [0, 1, 2, 75, 76, 77, 125, 130, 141, 143])
  t.equal(exitCode('upgrade'), 76)
})

t.test('every error of the wire', async (t) => {
  const special: Partial<Record<ErrorCode, number>> = { upgrade_required: 76, unauthenticated: 77, forbidden: 77 }
  for (const [code, { retry }] of Object.entries(errorTable) as [ErrorCode, { retry: string }][]) {
    t.equal(exitOfError({ code, retry }), special[code] ?? (retry === 'later' ? 75 : 1), code)
  }
  t.equal(exitOfError({ code: 'unreachable', retry: 'later' }), 75)
  t.equal(exitOfError({ code: 'undecodable', retry: 'never' }), 75)
})

t.test('the end of a job', async (t) => {
  t.equal(exitOfJob({ state: 'succeeded', rc: 0 }), 0)
  t.equal(exitOfJob({ state: 'succeeded' }), 0)
  t.equal(exitOfJob({ state: 'failed', rc: 255 }), 255)
  t.equal(exitOfJob({ state: 'cancelled', rc: 143 }), 143)
  t.equal(exitOfJob({ state: 'failed', rc: 0 }), 125, 'a trap that says 0 is no success')
  t.equal(exitOfJob({ state: 'expired' }), 125)
})
