// Pond's log: one JSON object a line, warnings and worse unless POND_LOG says otherwise.
import t from 'tap'
import { createLog } from '../../../server/cli/log.ts'

function capture(env: Record<string, string>) {
  const lines: string[] = []
  const stderr = { isTty: false, write: async (text: string | Uint8Array) => void lines.push(String(text)) }
  return { log: createLog({ env, stderr } as unknown as Parameters<typeof createLog>[0]), lines }
}

t.test('levels', async (t) => {
  const quiet = capture({})
  quiet.log.info('a.b', { x: 1 })
  quiet.log.warn('c.d', { x: 2 })
  quiet.log.error('e.f')
  t.equal(quiet.lines.length, 2)
  t.match(JSON.parse(quiet.lines[0] ?? ''), { level: 40, x: 2, msg: 'c.d' })
  t.ok(quiet.lines.every((line) => line.endsWith('\n')))
  const loud = capture({ POND_LOG: 'info' })
  loud.log.info('a.b')
  t.match(JSON.parse(loud.lines[0] ?? ''), { msg: 'a.b' })
})
