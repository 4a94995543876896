// The command line of the long runs: it says what there is, and refuses what there is not in one line.
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'

const program = fileURLToPath(new URL('run.ts', import.meta.url))
const soak = (words: readonly string[]) => execa('node', ['--import=tsx', program, ...words], { reject: false })

t.test('--help names parts, options, defaults and examples', async (t) => {
  const { exitCode, stdout } = await soak(['--help'])
  t.equal(exitCode, 0)
  for (const said of ['  power-cut ', '--minutes <n>', '(default: ', 'Examples:\n  $ npm run soak -- ']) {
    t.ok(stdout.includes(said), said)
  }
})

t.test('a wrong word is refused in one line', async (t) => {
  const wrong = {
    '--loud': ['simulation', '--rounds', '1', '--loud'],
    "'rain' is invalid": ['rain', '--rounds', '1'],
    "argument 'part'": [],
    '--minutes N or --rounds N': ['simulation'],
    'above 0': ['simulation', '--minutes', 'soon'],
  }
  for (const [said, words] of Object.entries(wrong)) {
    const { exitCode, stderr } = await soak(words)
    t.equal(exitCode, 2, said)
    t.ok(stderr.includes(said), stderr)
    t.match(stderr, /^soak: [^\n]+$/)
  }
})
