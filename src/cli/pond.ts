// The program `pond`: its whole tree of verbs. Nothing is run and nothing heavy is loaded until a verb is.
import { Command } from 'commander'
import { addConsumerVerbs } from './consumer/program.ts'
import { asCount, asList, asSize, flag } from './flag.ts'
import { type Act, noAct } from './main.ts'
import { addOperatorVerbs } from './operator/program.ts'
import { addServe, type Serve } from './serve-flag.ts'

export interface PondParts {
  readonly act?: Act
  readonly version?: string
  /** The server's own verb comes from bin, the only place that knows both sides. */
  readonly serve?: Serve
}

const PORT = 7460
/** Room for the database and the final words of what runs, when streams and new jobs have taken the rest. */
const RESERVE_BYTES = 256 * 1024 * 1024

export function createPondProgram({ act = noAct, version = '', serve }: PondParts = {}): Command {
  const program = new Command('pond')
    .description('Hands jobs out to machines that nobody can dial, and shows what became of them.')
    .version(version)
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Examples:
  $ pond serve
  $ pond pairing create
  $ pond run -- echo hello
  $ pond logs -f`,
    )
  addConsumerVerbs(program, act)
  addOperatorVerbs(program, act)
  addServe(program, act, serve)
  return program
}
