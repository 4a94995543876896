// The small schemas at their edges.
import t, { type Test } from 'tap'
import type { z } from 'zod'
import { digest, name, publicKey, queryInt, resources, streamName } from '../../src/protocol/field.ts'
import { limit } from '../../src/protocol/limit.ts'
import * as sample from './sample.ts'

function check(
  t: Test,
  schema: z.ZodType,
  values: { readonly takes: readonly unknown[]; readonly refuses: readonly unknown[] },
) {
  for (const value of values.takes) t.ok(schema.safeParse(value).success, `takes ${JSON.stringify(value)}`)
  for (const value of values.refuses) t.notOk(schema.safeParse(value).success, `refuses ${JSON.stringify(value)}`)
}

t.test('a whole number in a query', async (t) => {
  check(t, queryInt(1, 1000), {
    takes: ['1', '1000', '0001'],
    refuses: ['0', '1001', '', '-1', '+1', '1.0', '1e2', ' 1', '1 ', '0x1', '١', 1, '1'.repeat(17)],
  })
  t.equal(queryInt(0, Number.MAX_SAFE_INTEGER).parse('9007199254740991'), Number.MAX_SAFE_INTEGER)
  t.notOk(queryInt(0, Number.MAX_SAFE_INTEGER).safeParse('9007199254740992').success)
})

t.test('keys and digests have one form', async (t) => {
  const key = sample.publicKey
  check(t, publicKey, { takes: [key], refuses: [`${key}=`, key.slice(1), `${key}A`, key.replace('_', '/'), ''] })
  const hex = sample.digest
  check(t, digest, { takes: [hex], refuses: [hex.toUpperCase(), hex.slice(1), `${hex}0`, `${hex.slice(1)}g`] })
})

t.test('names of people for things', async (t) => {
  check(t, name, {
    takes: ['a', 'lab-7', 'My laptop', 'a.b_c', 'a'.repeat(limit.nameChars)],
    refuses: ['', ' a', 'a ', '-a', 'a\n', 'a/b', 'ä', 'a'.repeat(limit.nameChars + 1)],
  })
})

t.test('streams by name, and artifacts by number', async (t) => {
  check(t, streamName, {
    takes: ['stdout', 'stderr', 'stdout.tail', 'stderr.tail', 'artifact/0', 'artifact/1019'],
    refuses: [
      'stdin',
      'stdout.',
      'stdout.tail.tail',
      'STDOUT',
      'stdout/../x',
      'stdout\n',
      'artifact/1020',
      'artifact/01',
      'artifact/',
    ],
  })
})

t.test('what a worker has', async (t) => {
  check(t, resources, {
    takes: [{ slots: 1 }, { slots: limit.slotsPerWorker, cpus: 0.5, memory_bytes: 0, gpus: [] }],
    refuses: [
      {},
      { slots: 0 },
      { slots: limit.slotsPerWorker + 1 },
      { slots: 1.5 },
      { slots: 1, cpus: -1 },
      { slots: 1, gpus: ['u'] },
    ],
  })
})
