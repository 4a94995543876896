// Which names are one file on some machine, and which steps a name has.
import fc from 'fast-check'
import t from 'tap'
import { bundleLimits } from '../../src/bundle/limit.ts'
import { foldStep, splitName, splitTarget } from '../../src/bundle/name.ts'

t.test('what some file system takes for one folds into one', async (t) => {
  for (const names of [
    ['a', 'A'],
    ['\u00e9', 'e\u0301', 'E\u0301', '\u00c9'],
    ['\u00df', '\u1e9e', 'ss', 'SS', '\u017fs'],
    ['\u03c3', '\u03c2', '\u03a3'],
    ['k', 'K', '\u212a'],
    ['\u00e5', '\u212b', 'a\u030a'],
    ['\ufb01', 'fi', 'FI'],
    ['i\u0307', '\u0130'],
    ['\uac00', '\u1100\u1161'],
    ['a\u0323\u0302', 'a\u0302\u0323', '\u1ead'],
    ['.git', '.g\u200cit', '.git\ufeff'],
  ]) {
    t.equal(new Set(names.map(foldStep)).size, 1, JSON.stringify(names))
  }
  t.equal(new Set(['a', 'b', 'e', '\u00e9', 'x2', 'x\u00b2', 'a b', 'ab', '\u00fc', 'u'].map(foldStep)).size, 10)
})

t.test('a folded name folds into itself, and so does its other case and form', async (t) => {
  const property = fc.property(fc.string({ unit: 'binary' }), (name) => {
    const folded = foldStep(name)
    t.equal(foldStep(folded), folded)
    for (const form of ['NFC', 'NFD'] as const) t.equal(foldStep(name.normalize(form)), folded)
    t.equal(foldStep(name.toUpperCase()), folded)
    t.equal(foldStep(name.toLowerCase()), folded)
  })
  fc.assert(property, { numRuns: 2000 })
})

t.test('names and targets have steps', async (t) => {
  t.strictSame(splitName('./a/b', false, bundleLimits), ['a', 'b'])
  t.strictSame(splitName('a/', true, bundleLimits), ['a'])
  t.strictSame(splitName('./', true, bundleLimits), [])
  t.strictSame(splitName('...', false, bundleLimits), ['...'])
  t.strictSame(splitTarget('./../a//b/', 'link', bundleLimits), ['..', 'a', 'b'])
})
