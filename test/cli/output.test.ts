// What is printed where: results and notes, status lines, text of others, failures.
import t from 'tap'
import { Failure } from '../../src/cli/failure.ts'
import { createOutput, fields, isClosedPipe, printable } from '../../src/cli/output.ts'
import { createFakeIo } from '../harness/fake-io.ts'

t.test('text of others cannot move the cursor', async (t) => {
  t.equal(printable('a\x1b[2J\x07\x9b\r\n\tü'), 'a\\x1b[2J\\x07\\x9b\\x0d\n\tü')
})

t.test('fields stand under each other, absent ones leave no line', async (t) => {
  t.same(
    fields([
      ['a', 1],
      ['long', 'x'],
      ['none', undefined],
      ['empty', ''],
    ]),
    ['a:    1', 'long: x'],
  )
})

t.test('a status line is rewritten, and taken away by whatever comes next', async (t) => {
  const io = createFakeIo({ tty: true })
  const out = createOutput(io, { program: 'pond', json: false })
  await out.status(undefined)
  await out.status('one')
  await out.status('two')
  await out.bytes('stdout', 'data')
  await out.status('three')
  await out.note('done')
  t.equal(io.printed().err, 'one\r\x1b[Ktwo\r\x1b[Kthree\r\x1b[Kpond: done\n')
  t.equal(io.printed().out, 'data')
})

t.test('off a terminal there is no status line', async (t) => {
  const io = createFakeIo()
  await createOutput(io, { program: 'pond', json: false }).status('one')
  t.equal(io.printed().err, '')
})

t.test('a failure is red on a terminal, plain elsewhere, one object under --json', async (t) => {
  const failure = new Failure({ what: 'it broke', why: 'because', exit: 'unreachable' })
  for (const [tty, json, expected] of [
    [true, false, '\x1b[31mpond: it broke\x1b[39m\n  why:  because\n'],
    [false, false, 'pond: it broke\n  why:  because\n'],
    [false, true, `${JSON.stringify({ error: { message: 'it broke', why: 'because', next: '', exit: 75 } })}\n`],
  ] as const) {
    const io = createFakeIo({ tty })
    await createOutput(io, { program: 'pond', json }).failure(failure)
    t.equal(io.printed().err, expected)
  }
})

t.test('a closed pipe', async (t) => {
  t.ok(isClosedPipe(Object.assign(new Error('x'), { code: 'EPIPE' })))
  t.notOk(isClosedPipe(Object.assign(new Error('x'), { code: 'ENOSPC' })))
  t.notOk(isClosedPipe('EPIPE'))
})
