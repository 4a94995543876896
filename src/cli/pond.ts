// The program `pond`: its whole tree of verbs. Nothing is run and nothing heavy is loaded until a verb is.
import { Command } from 'commander'
import { addConsumerVerbs } from './consumer/program.ts'
import { addTrustVerbs } from './consumer/trust-program.ts'
import { addExamples, pondExamples } from './example.ts'
import { type Act, noAct } from './main.ts'
import { addOperatorVerbs } from './operator/program.ts'
import { addServe, type Serve } from './serve-flag.ts'

export interface PondParts {
  readonly act?: Act
  readonly version?: string
  /** The server's own verb comes from bin, the only place that knows both sides. */
  readonly serve?: Serve
}

export function createPondProgram({ act = noAct, version = '', serve }: PondParts = {}): Command {
  const program = new Command('pond')
    .description('Hands jobs out to machines that nobody can dial, and shows what became of them.')
    .version(version)
    .enablePositionalOptions()
  addConsumerVerbs(program, act)
  addTrustVerbs(program, act)
  addOperatorVerbs(program, act)
  addServe(program, act, serve)
  return addExamples(program, pondExamples)
}
