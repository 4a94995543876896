// Each kind of issue that a schema can have, in our words, and the field that it is about.
import t from 'tap'
import { z } from 'zod'
import { describeFaults, judge, judgeText } from '../../src/protocol/fault.ts'
import { jobSpec } from '../../src/protocol/job.ts'

const said = (schema: z.ZodType, value: unknown) => {
  const judged = judge(schema, value)
  return judged.ok ? 'ok' : describeFaults(judged.faults)
}

const kinds: readonly (readonly [string, z.ZodType, unknown, string])[] = [
  ['a type', z.strictObject({ on: z.boolean() }), { on: 'yes' }, 'on: must be true or false'],
  ['a field that is missing', z.object({ name: z.string() }), {}, 'name: is missing; it must be a text'],
  ['the value itself', z.strictObject({}), 7, 'must be an object'],
  ['a field that must not be', z.object({ off: z.never() }), { off: 1 }, 'off: must be left out'],
  ['unknown fields', z.strictObject({}), { a: 1, b: 2 }, 'a is not a field here; b is not a field here'],
  ['one below', z.object({ in: z.strictObject({}) }), { in: { a: 1 } }, 'in.a is not a field here'],
  ['a number that is none', z.number().max(5), Number.NaN, 'must be a number, at most 5'],
  ['a bound that is left out', z.number().positive().max(9), 0, 'must be a number above 0, at most 9'],
  ['one without the other', z.number().positive(), 0, 'must be a number above 0'],
  ['both bounds', z.int().min(1).max(10), 11, 'must be a whole number from 1 to 10'],
  ['one that no program counts to', z.int().min(1).max(10), 2 ** 60, 'must be a whole number from 1 to 10'],
  ['a part of one', z.int().min(0), 0.5, 'must be a whole number, at least 0'],
  ['a multiple', z.number().multipleOf(5), 7, 'must be a multiple of 5'],
  ['a text too short', z.string().min(3), 'a', 'must have at least 3 characters'],
  ['nothing', z.array(z.string()).min(1), [], 'must not be empty'],
  ['a list too long', z.array(z.string()).max(1), ['a', 'b'], 'must not have more than 1 entries'],
  ['a choice', z.enum(['a', 'b']), 'c', 'must be one of a, b'],
  ['no choice', z.literal(5), 3, 'must be 5'],
  ['a form', z.string().regex(/^a$/), 'b', 'must match /^a$/'],
  ['a check', z.string().refine(() => false), 'b', 'is not valid'],
  ['a message of its own stands', z.string().min(3, 'is short'), 'b', 'is short'],
  ['a key', z.record(z.string().regex(/^a$/, 'must be a'), z.string()), { b: '' }, 'b: must be a'],
  ['an entry', z.map(z.string(), z.string()), new Map([['a', 1]]), 'a: must be a text'],
  ['types', z.union([z.string(), z.array(z.string())]), 5, 'must be a text or a list'],
  [
    'one of several types that is missing',
    z.object({ is: z.union([z.string(), z.array(z.string())]) }),
    {},
    'is: is missing; it must be a text or a list',
  ],
  ['a tag', z.discriminatedUnion('is', [z.object({ is: z.literal('a') })]), { is: 'b' }, 'is: must be one of a'],
]

for (const [name, schema, value, wanted] of kinds) {
  t.test(name, async (t) => t.equal(said(schema, value), wanted))
}

t.test('of several forms the one that is meant is complained about', async (t) => {
  const command = ['true']
  t.equal(said(jobSpec, { command, after: [{ job: 'x' }] }), 'after.0.on: must be one of success, end')
  const either = z.union([z.strictObject({ jobs: z.array(jobSpec) }), jobSpec])
  t.equal(said(either, { command, prio: 1 }), 'prio is not a field here')
  t.equal(said(either, { jobs: [{ command: 5 }] }), 'jobs.0.command: must be a list')
  t.equal(said(either, {}), 'lacks jobs or command')
  t.equal(said(z.object({ to: either }), { to: {} }), 'to: lacks jobs or command')
})

t.test('no word of zod is left, whatever is wrong with a job', async (t) => {
  for (const field of Object.keys(jobSpec.shape)) {
    for (const value of [null, 'x', -1, 0.5, [], {}, [null], { x: null }]) {
      const text = said(jobSpec, { command: ['true'], [field]: value })
      t.notMatch(text, /Invalid|Too (small|big)|expected|received|Unrecognized/, `${field} ${JSON.stringify(value)}`)
    }
  }
})

t.test('a file that is no JSON is not quoted: it may hold keys', async (t) => {
  const judged = judgeText(z.strictObject({}), '{"token": "pond_bind_secret')
  t.equal(judged.ok ? '' : describeFaults(judged.faults), 'it is no JSON')
})
