// The mechanism that compares a page with what the code prints: it finds a difference, a missing block and a missing page.
import t from 'tap'
import { blockNames, checkBlock, checkGenerated, printTable, readBlock, replaceBlock } from './page.ts'

const page =
  'before\n<!-- generated:errors -->\n| a |\n| b |\n<!-- end -->\nafter\n<!-- generated:routes -->\n<!-- end -->\n'
const check = (name: string, expected: string) => checkBlock({ page, file: 'page.md', name, expected })

t.test('a block that agrees', async (t) => {
  t.equal(check('errors', '| a |\n| b |\n'), undefined)
  t.equal(check('routes', ''), undefined)
})

t.test('a block that differs says where and what to type', async (t) => {
  t.match(check('errors', '| a |\n| c |'), /line 2 \(page: \| b \|; code: \| c \|\); run npm run docs/)
  t.match(check('errors', '| a |'), /line 2 \(page: \| b \|; code: nothing\)/, 'documented, but not in the code')
  t.match(
    check('errors', '| a |\n| b |\n| c |'),
    /line 3 \(page: nothing; code: \| c \|\)/,
    'in the code, but not documented',
  )
})

t.test('what is not there', async (t) => {
  t.match(check('causes', ''), /no block <!-- generated:causes -->/)
  t.match(checkGenerated('no-such-page.md', 'errors', ''), /does not exist/)
  t.throws(() => replaceBlock(page, 'causes', 'x'), /no block/)
})

t.test('rewriting a block leaves the rest alone', async (t) => {
  const written = replaceBlock(page, 'routes', '| new |')
  t.equal(readBlock(written, 'routes'), '| new |')
  t.equal(readBlock(written, 'errors'), '| a |\n| b |')
  t.equal(replaceBlock(written, 'routes', ''), page.replace('routes -->\n', 'routes -->\n\n'))
  t.strictSame(blockNames(page), ['errors', 'routes'])
})

t.test('a bar inside a cell does not end it', async (t) => {
  t.equal(printTable(['a', 'b'], [['x|y', 'z']]), '| a | b |\n|---|---|\n| x\\|y | z |')
})
