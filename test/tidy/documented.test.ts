// Every error code, route, state, cause, verb, flag, exit code and dependency is in its page, and nothing else is.
import { Command } from 'commander'
import t from 'tap'
import { loadBlocks, printProgram, staticBlocks } from './block.ts'
import { blockNames, checkGenerated } from './page.ts'
import { checkMentions, loadPrograms } from './program.ts'
import { describe, listFiles, readText } from './source.ts'

const pages = listFiles().filter((path) => path.endsWith('.md'))

t.test('tables printed from data', async (t) => {
  const faults = staticBlocks.map(({ file, name, print }) => checkGenerated(file, name, print()))
  t.strictSame(faults.filter(Boolean), [])
})

t.test('tables printed from the command lines', async (t) => {
  const blocks = (await loadBlocks()).slice(staticBlocks.length)
  t.strictSame(blocks.map(({ file, name, print }) => checkGenerated(file, name, print())).filter(Boolean), [])
})

t.test('no page has a table that nothing prints', async (t) => {
  const printed = new Set((await loadBlocks()).map(({ file, name }) => `${file}: ${name}`))
  const found = pages.flatMap((file) => blockNames(readText(file)).map((name) => `${file}: ${name}`))
  t.strictSame(
    found.filter((one) => !printed.has(one)),
    [],
  )
})

t.test('what a page tells to type exists', async (t) => {
  const { pond, swarm } = await loadPrograms()
  t.strictSame(describe(pages.flatMap((file) => checkMentions(file, readText(file), [pond, swarm]))), [])
})

t.test('every verb, flag and exit code says what it is for', async (t) => {
  const { pond, swarm, exitTable } = await loadPrograms()
  t.notMatch(printProgram(pond) + printProgram(swarm), /\| +\|$/m, 'each verb has a description')
  t.strictSame(
    Object.entries(exitTable).filter(([, row]) => row.says === ''),
    [],
  )
})

t.test('it can fail', async (t) => {
  const pond = new Command('pond').option('--json', 'print JSON')
  pond.command('run').description('runs').argument('<cmd...>').option('-d, --detach', 'do not follow')
  pond.command('key').description('keys').command('create').description('makes one').option('--project <id>', 'whose')
  const check = (page: string) => describe(checkMentions('page.md', page, [pond]))

  t.match(check('type `pond jump`'), [/page\.md:1: pond has no verb jump/])
  t.match(check('```\n$ pond run --fast -- ls\n```'), [/page\.md:2: pond run has no flag --fast/])
  t.match(check('`pond key make`'), [/pond key has no verb make/])
  t.strictSame(check('`pond run [-d|--detach] -- ls --fast`\n`pond key create --project=P --json`\npond jump'), [])
  t.match(printProgram(pond), '| `pond run <cmd>` | `-d, --detach` | runs |')
})
