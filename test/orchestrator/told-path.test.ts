// Paths as they may be told: each stays itself where it can, and no two fall together.
import fc from 'fast-check'
import t from 'tap'
import { createToldPaths } from '../../src/orchestrator/told-path.ts'

const told = (...paths: readonly string[]) => {
  const names = createToldPaths()
  return paths.map((path) => names.take(path))
}

t.test('what is free stays, what falls together is numbered', async (t) => {
  t.strictSame(told('a', 'b/c', 'b/d'), ['a', 'b/c', 'b/d'])
  t.strictSame(told('out/[redacted]', 'out/[redacted]', 'out/[redacted]'), [
    'out/[redacted]',
    'out/[redacted]~2',
    'out/[redacted]~3',
  ])
  t.strictSame(told('x', 'x~2', 'x'), ['x', 'x~2', 'x~3'], 'a number that is taken')
  t.strictSame(told('x', 'x/f', 'x/g', 'x/f'), ['x', 'x~2/f', 'x~2/g', 'x~3/f'], 'a file where another has a folder')
  t.strictSame(told('x/f', 'x'), ['x/f', 'x~2'])
})

t.test('whatever comes, all of them can stand in one folder', async (t) => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'a~2'), { minLength: 1, maxLength: 4 })
    .map((steps) => steps.join('/'))
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(path, { maxLength: 30 }), (paths) => {
        const all = told(...paths)
        return all.every((one, at) => all.every((it, place) => at === place || !`${it}/`.startsWith(`${one}/`)))
      }),
    ),
  )
})
