#!/bin/sh
// 2>/dev/null; exec node --min-semi-space-size=32 --max-semi-space-size=32 -- "$0" "$@"
// The program swarm: hands the process's streams, signals and environment to the command line, and its exit code back.
// The second line is for the shell: only at the start of a process V8 takes how much room what is young has. Each time that is full it stops the program, and
// a start that meets this is late.
import '../src/system/heap.ts'
import process from 'node:process'
import { runProgram } from '../src/cli/main.ts'
import { createSwarmProgram } from '../src/cli/swarm.ts'
import { createSystemIo } from '../src/cli/system-io.ts'
import { closeInherited } from '../src/executor/inherited.ts'

const { stdin, stdout, stderr, env } = process
// Before anything opens files: its jobs must get nothing that whoever started it left open.
closeInherited()
const io = createSystemIo({ stdin, stdout, stderr, env, signals: process })
// Every write was awaited, so nothing is lost; what still holds a timer or a socket belongs to a verb that has ended.
process.exit(await runProgram(io, process.argv.slice(2), (act) => createSwarmProgram({ act, version: io.version })))
