// One grammar for what a job requires of a label and for what a code lets a machine choose.
import fc from 'fast-check'
import t from 'tap'
import { asConditions, asConditionsOrAny } from '../../src/cli/label-condition.ts'

t.test('every form', async (t) => {
  const forms = {
    zone: { op: 'exists' },
    'zone=lab': 'lab',
    'zone=a=b': 'a=b',
    'zone=two words': 'two words',
    'zone=lab|attic|lab': { op: 'in', value: ['lab', 'attic'] },
    'zone=lab|lab': 'lab',
    'zone>=2.5': { op: 'gte', value: 2.5 },
    'zone<=-1': { op: 'lte', value: -1 },
  }
  for (const [text, need] of Object.entries(forms)) {
    t.strictSame(asConditions(text, undefined), { zone: need }, text)
    t.strictSame(asConditionsOrAny(text, undefined), { zone: need }, text)
  }
  t.strictSame(asConditionsOrAny('*', undefined), { '*': { op: 'exists' } })
  t.strictSame(asConditionsOrAny('*=7', undefined), { '*': '7' })
})

t.test('anything else is refused by name', async (t) => {
  const wrong = [
    ...['', '=a', '*', 'Zone=a', 'a b', '-zone', 'zone-', '__proto__', 'zone!=a', 'zone~a', 'zone:a', '!zone', ' zone'],
    ...['zone>7', 'zone<4', 'zone==3', 'zone=>3', 'zone=<3', 'zone>>3', 'zone<>3', 'zone>==3', 'zone>=', 'zone<='],
    ...['zone=', 'zone=|', 'zone=a|', 'zone=|a', 'zone=a||b', 'zone|a', 'zone=a\n', 'zone=a\n\nrack'],
    ...['NaN', 'Infinity', '1e3', '0x10', '+1', '1.', '.5', '1,5', ' 1', '1 ', '9007199254740993', '9'.repeat(400)].map(
      (number) => `zone>=${number}`,
    ),
  ]
  for (const text of wrong) {
    const says = /is no condition\. It must look like key, key=value, key=value\|value, key>=number or key<=number/
    t.throws(() => asConditions(text, undefined), says, text)
    if (text !== '*') t.throws(() => asConditionsOrAny(text, undefined), says, text)
  }
})

t.test('only a bare key takes any value', async (t) => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^zone[<>=|!~*a-c0-9. ]*$/))
  fc.assert(
    fc.property(text, (text) => {
      for (const parse of [asConditions, asConditionsOrAny]) {
        let needs: ReturnType<typeof parse>
        try {
          needs = parse(text, undefined)
        } catch {
          continue
        }
        for (const [key, need] of Object.entries(needs)) {
          const isAny = typeof need === 'object' && need.op === 'exists'
          if (isAny !== text.split('\n').includes(key)) return false
        }
      }
      return true
    }),
    { numRuns: 5000 },
  )
  t.pass('for each text that is a condition')
})

t.test('values of one key add up, and what is no one condition is refused', async (t) => {
  const all = (...texts: string[]) =>
    texts.reduce((before: ReturnType<typeof asConditions> | undefined, text) => asConditions(text, before), undefined)
  t.strictSame(all('zone=a', 'tier>=1', 'zone=b|c', 'ssd'), {
    zone: { op: 'in', value: ['a', 'b', 'c'] },
    tier: { op: 'gte', value: 1 },
    ssd: { op: 'exists' },
  })
  t.strictSame(all('zone=a\nzone=b', 'constructor=x'), { zone: { op: 'in', value: ['a', 'b'] }, constructor: 'x' })
  for (const [one, other] of [
    ['tier>=1', 'tier<=2.5'],
    ['tier<=2.5', 'tier>=1'],
  ] as const) {
    t.strictSame(all(one, other), { tier: { op: 'between', value: [1, 2.5] } })
  }
  t.throws(() => all('zone>=1', 'zone<=2', 'zone<=3'), /zone is named twice/)
  for (const [one, other] of [
    ['zone', 'zone=a'],
    ['zone=1', 'zone>=1'],
    ['zone>=1', 'zone>=2'],
    ['zone<=1', 'zone'],
    ['zone>=2', 'zone<=1'],
  ] as const) {
    t.throws(() => all(one, other), /zone is named twice/)
    t.throws(() => all(other, one), /zone is named twice/)
  }
})
