// Runs a command line from its words to its exit code: parses, runs one verb, and prints what went wrong, once.
import { type Command, CommanderError } from 'commander'
import { exitCode } from './exit-code.ts'
import { Failure } from './failure.ts'
import { applyVariables } from './flag.ts'
import type { Io } from './io.ts'
import { createOutput, isClosedPipe } from './output.ts'

export type Verb = (io: Io) => Promise<number>

/** Hands a verb to the program that runs it. A tree made only for its help gets none. */
export type Act = (verb: Verb) => Promise<void>

export const noAct: Act = async () => {}

export async function runProgram(io: Io, words: readonly string[], create: (act: Act) => Command): Promise<number> {
  let code = exitCode('ok')
  let printed = { out: '', err: '' }
  const program = create(async (verb) => {
    code = await verb(io)
  })
  prepare(program, {
    out: (text) => {
      printed = { ...printed, out: printed.out + text }
    },
    err: (text) => {
      printed = { ...printed, err: printed.err + text }
    },
  })
  program.hook('preAction', (_, command) => applyVariables(command, io.env))
  try {
    await program.parseAsync([...words], { from: 'user' })
    return code
  } catch (error) {
    return await conclude(io, { name: program.name(), words, error, printed })
  }
}

interface Ending {
  readonly name: string
  readonly words: readonly string[]
  readonly error: unknown
  readonly printed: { readonly out: string; readonly err: string }
}

async function conclude(io: Io, { name, words, error, printed }: Ending): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) {
    await io.stdout.write(printed.out)
    return exitCode('ok')
  }
  if (error instanceof CommanderError && error.code === 'commander.help') {
    await io.stderr.write(printed.err)
    return exitCode('usage')
  }
  if (isClosedPipe(error)) return exitCode('pipeClosed')
  const failure = toFailure(error, name)
  const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words
  const json = own.includes('--json') || Boolean(io.env[`${name.toUpperCase()}_JSON`])
  await createOutput(io, { program: name, json }).failure(failure)
  return failure.exit
}

function toFailure(error: unknown, name: string): Failure {
  if (error instanceof Failure) return error
  if (error instanceof CommanderError) {
    const what = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
    return new Failure({ what, next: `Read ${name} --help, or --help behind the verb.`, exit: 'usage' })
  }
  const why =
    error instanceof Error
      ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}`
      : String(error)
  return new Failure({ what: 'something went wrong here', why, cause: error })
}

/** commander prints and exits by itself unless each command of the tree is told otherwise. */
function prepare(command: Command, to: { out: (text: string) => void; err: (text: string) => void }): void {
  command.exitOverride()
  command.configureOutput({
    writeOut: to.out,
    writeErr: to.err,
    outputError: () => {},
    getOutHelpWidth: () => HELP_WIDTH,
    getErrHelpWidth: () => HELP_WIDTH,
  })
  for (const below of command.commands) prepare(below, to)
}

const HELP_WIDTH = 110
