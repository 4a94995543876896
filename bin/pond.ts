#!/bin/sh
// 2>/dev/null; exec node --min-semi-space-size=64 --max-semi-space-size=64 -- "$0" "$@"
// The program pond: hands the process's streams, signals and environment to the command line, and its exit code back.
// The second line is for the shell: only at the start of a process V8 takes how much room what is young has. Each time that is full it stops the program, and
// a start that meets this is late.
import '../src/system/heap.ts'
import process from 'node:process'
import { Failure } from '../src/cli/failure.ts'
import type { Io } from '../src/cli/io.ts'
import { runProgram } from '../src/cli/main.ts'
import { createPondProgram } from '../src/cli/pond.ts'
import type { ServeFlags } from '../src/cli/serve-flag.ts'
import { createSystemIo } from '../src/cli/system-io.ts'

const { stdin, stdout, stderr, env } = process
const io = createSystemIo({ stdin, stdout, stderr, env, signals: process })
// Every write was awaited, so nothing is lost; what still holds a timer or a socket belongs to a verb that has ended.
process.exit(
  await runProgram(io, process.argv.slice(2), (act) => createPondProgram({ act, version: io.version, serve })),
)

async function serve(flags: ServeFlags, io: Io): Promise<number> {
  const module = await loadServer()
  return module.serve(flags, io)
}

/** What only the server needs is optional, so that a pool's machine need not carry it. */
async function loadServer() {
  try {
    return await import('../server/cli/serve.ts')
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new Failure({
      what: 'this installation has no server',
      why: cause.message.split('\n')[0] ?? '',
      next: 'Install it with its optional packages: npm i -g pond-swarm (without --omit=optional).',
      cause,
    })
  }
}
