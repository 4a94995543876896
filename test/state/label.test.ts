// Whose word a label is: what a code gives stands, what it allows may be chosen, and nothing else.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { AllowedLabels } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { type Charter, describeAllowed, settleLabels } from '../../src/state/label.ts'
import { suits } from '../../src/state/match.ts'

const code: Charter = {
  labels: { zone: 'eu', room: '7' },
  allowedLabels: { rack: { op: 'exists' }, site: { op: 'in', value: ['lab', 'attic'] }, tier: { op: 'lte', value: 3 } },
}

t.test('what the code gives, less what is left out, and what the machine may choose', async (t) => {
  const settle = (labels: Record<string, string>, without_labels?: readonly string[]) =>
    settleLabels(code, { labels, without_labels })
  t.strictSame(settle({}), { ok: true, labels: { zone: 'eu', room: '7' }, own: [] })
  t.strictSame(
    settle({ zone: 'eu' }),
    { ok: true, labels: { zone: 'eu', room: '7' }, own: [] },
    'to repeat one changes nothing',
  )
  t.strictSame(settle({}, ['room']), { ok: true, labels: { zone: 'eu' }, own: [] })
  t.strictSame(settle({ rack: '12', site: 'lab', tier: '2.5' }, ['zone', 'room']), {
    ...{ ok: true, labels: { rack: '12', site: 'lab', tier: '2.5' } },
    own: ['rack', 'site', 'tier'],
  })
})

t.test('what is not for it to say is refused, with what to do', async (t) => {
  const cases = [
    [{ labels: { zone: 'us' } }, 'labels.zone', /gives zone=eu, and no other/],
    [{ labels: { secure: 'yes' } }, 'labels.secure', /--label secure=yes or --allow-label secure/],
    [{ labels: { constructor: 'x' } }, 'labels.constructor', /neither/],
    [{ labels: { '*': 'x' } }, 'labels.*', /neither/],
    [{ labels: { site: 'cellar' } }, 'labels.site', /only site=lab or attic/],
    [{ labels: { tier: 'high' } }, 'labels.tier', /only tier<=3/],
    [{ labels: {}, without_labels: ['rack'] }, 'without_labels', /does not give the label rack/],
    [{ labels: { room: '7' }, without_labels: ['room'] }, 'without_labels', /at once/],
  ] as const
  for (const [wish, field, why] of cases) t.match(settleLabels(code, wish), { ok: false, field, why })
})

t.test('a star is for all keys that are not named, and never for given ones', async (t) => {
  const open: Charter = { labels: { zone: 'eu' }, allowedLabels: { '*': { op: 'exists' }, tier: '1' } }
  t.match(settleLabels(open, { labels: { a: 'x', tier: '1' } }), {
    ok: true,
    labels: { zone: 'eu', a: 'x', tier: '1' },
  })
  t.match(settleLabels(open, { labels: { tier: '2' } }), { ok: false, field: 'labels.tier' })
  t.match(settleLabels(open, { labels: { zone: 'us' } }), { ok: false, field: 'labels.zone' })
  const many = Object.fromEntries(Array.from({ length: limit.labels }, (_, index) => [`k${index}`, '']))
  t.match(settleLabels(open, { labels: many }), { ok: false, field: 'labels', why: /more than 64/ })
})

t.test(
  'whatever is said, a label that a machine did not choose is given, and one that it chose was allowed',
  async (t) => {
    const key = fc.constantFrom('a', 'b', 'c', 'd')
    const labels = fc.dictionary(key, fc.constantFrom('1', '2', 'x'))
    const need = fc.constantFrom<AllowedLabels[string]>(
      '1',
      { op: 'exists' },
      { op: 'gte', value: 2 },
      { op: 'in', value: ['x'] },
    )
    const allowed = fc.dictionary(fc.oneof(key, fc.constant('*')), need)
    const outcomes = new Set<boolean>()
    fc.assert(
      fc.property(
        labels,
        allowed,
        labels,
        fc.subarray(['a', 'b', 'c']),
        (given, allowedLabels, said, without_labels) => {
          const settled = settleLabels({ labels: given, allowedLabels }, { labels: said, without_labels })
          outcomes.add(settled.ok)
          if (!settled.ok) return
          for (const [name, value] of Object.entries(settled.labels)) {
            if (settled.own.includes(name)) {
              const need = allowedLabels[name] ?? allowedLabels['*']
              assert.ok(!(name in given) && need !== undefined && suits(need, value))
            } else assert.equal(given[name], value)
            assert.ok(!without_labels.some((one) => one === name))
          }
        },
      ),
      { numRuns: 3000 },
    )
    t.equal(outcomes.size, 2, 'both were met')
  },
)

t.test('as it is typed', async (t) => {
  const told = Object.entries<AllowedLabels[string]>({
    ...code.allowedLabels,
    cpu: { op: 'gte', value: 2 },
    year: { op: 'between', value: [20, 26] },
    os: 'x',
    arch: { op: 'eq', value: 'y' },
  })
  t.strictSame(
    told.map(([key, need]) => describeAllowed(key, need)),
    ['rack', 'site=lab or attic', 'tier<=3', 'cpu>=2', 'year>=20 and <=26', 'os=x', 'arch=y'],
  )
})
