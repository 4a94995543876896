// The examples of the help: every verb has one, none is of a verb that is gone, and what they show can be typed.
import type { Command } from 'commander'
import t from 'tap'
import { type Examples, pondExamples, swarmExamples } from '../../src/cli/example.ts'
import { runProgram } from '../../src/cli/main.ts'
import { createPondProgram } from '../../src/cli/pond.ts'
import { createSwarmProgram } from '../../src/cli/swarm.ts'
import { createFakeIo } from '../harness/fake-io.ts'

const programs: readonly (readonly [() => Command, Examples])[] = [
  [() => createPondProgram(), pondExamples],
  [() => createSwarmProgram(), swarmExamples],
]

/** All commands of the tree by their words. */
function tree(command: Command, words: readonly string[] = []): readonly (readonly [string, Command])[] {
  const below = command.commands.flatMap((one) => tree(one, [...words, one.name()]))
  return [[words.join(' '), command], ...below]
}

/** The words behind the program's name, as a shell would part them; what another program would say is a number. */
function wordsOf(line: string, name: string): readonly string[] {
  const [, typed = ''] = line.match(new RegExp(`(?:^|[|(] ?)${name}(?= |$)([^|<>]*)`)) ?? []
  return [...typed.matchAll(/"([^"]*)"|[^\s"]+/g)].map(([word, quoted]) =>
    (quoted ?? word).replace(/^\$\(stat .*\)$/, '42'),
  )
}

for (const [create, examples] of programs) {
  const name = create().name()

  t.test(`${name}: the help of every verb shows one`, async (t) => {
    const all = tree(create())
    for (const [words] of all.filter(([, { commands }]) => commands.length === 0)) {
      const io = createFakeIo()
      t.equal(await runProgram(io, [...words.split(' '), '--help'], create), 0)
      t.match(io.printed().out, /\nExamples:\n {2}\$ /, words)
      const called = `${name} ${words.replace(/ show$/, '')}`
      t.ok(
        examples[words]?.some((line) => line.includes(called)),
        called,
      )
    }
    t.strictSame(
      Object.keys(examples).filter((words) => !all.some(([known]) => known === words)),
      [],
      'of verbs that are gone',
    )
  })

  t.test(`${name}: they can be typed`, async (t) => {
    for (const line of Object.values(examples).flat()) {
      const io = createFakeIo()
      const words = wordsOf(line, name)
      t.ok(words.length > 0, line)
      t.equal(await runProgram(io, words, create), 0, `${line}\n${io.printed().err}`)
    }
  })
}
