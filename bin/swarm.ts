#!/usr/bin/env node
// The program swarm: hands the process's streams, signals and environment to the command line, and its exit code back.
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
