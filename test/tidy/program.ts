// The two command lines as trees, and a check that what a page types is a verb and a flag that exist.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import { type Finding, root } from './source.ts'

export type ExitTable = Readonly<Record<string, { readonly code: number; readonly says: string }>>

/** Where the trees come from: each function returns a commander tree and runs nothing. */
const programSource = {
  pond: { file: 'src/cli/pond.ts', name: 'createPondProgram' },
  swarm: { file: 'src/cli/swarm.ts', name: 'createSwarmProgram' },
  exit: { file: 'src/cli/exit-code.ts', name: 'exitTable' },
} as const

export interface Programs {
  readonly pond: Command
  readonly swarm: Command
  readonly exitTable: ExitTable
}

export async function loadPrograms(): Promise<Programs> {
  const pond = await loadCommand(programSource.pond)
  const swarm = await loadCommand(programSource.swarm)
  return { pond, swarm, exitTable: (await load(programSource.exit)) as ExitTable }
}

interface Place {
  readonly file: string
  readonly name: string
}

async function loadCommand(place: Place): Promise<Command> {
  const create = await load(place)
  assert(typeof create === 'function', `${place.file}: ${place.name} is a function`)
  const made: unknown = create()
  assert(made instanceof Command, `${place.file}: ${place.name}() returns a commander tree`)
  return made
}

async function load({ file, name }: Place): Promise<unknown> {
  const module: Readonly<Record<string, unknown>> = await import(pathToFileURL(join(root, file)).href)
  assert(name in module, `${file} exports ${name}`)
  return module[name]
}

export interface Verb {
  /** `pond`, `key`, `create`. */
  readonly words: readonly string[]
  readonly command: Command
}

/** The program and every verb that does something, in the order of its help. */
export function verbsOf(command: Command, before: readonly string[] = []): readonly Verb[] {
  const words = [...before, command.name()]
  const below = command.commands.flatMap((one) => verbsOf(one, words))
  return command.commands.length === 0 || command.options.length > 0 ? [{ words, command }, ...below] : below
}

/** Findings for each command line of a page, in a fenced block or in backticks, that names no such verb or flag. */
export function checkMentions(file: string, page: string, programs: readonly Command[]): readonly Finding[] {
  return [...linesTyped(page)].flatMap(({ line, typed }) => {
    const program = programs.find((one) => one.name() === typed[0])
    const what = program && faultOfTyped(program, typed.slice(1))
    return what ? [{ where: `${file}:${line}`, what, why: 'what a page tells to type must work' }] : []
  })
}

function* linesTyped(page: string): Generator<{ line: number; typed: readonly string[] }> {
  let fenced = false
  for (const [index, text] of page.split('\n').entries()) {
    if (text.startsWith('```')) fenced = !fenced
    const pieces = fenced
      ? [text.replace(/^\s*\$ /, '')]
      : [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '')
    for (const piece of pieces) {
      if (/^(pond|swarm) /.test(piece)) yield { line: index + 1, typed: piece.trim().split(/\s+/) }
    }
  }
}

function faultOfTyped(program: Command, typed: readonly string[]): string | undefined {
  let command = program
  let words = program.name()
  const flags = new Set(['--help', '-h', '--version', '-V', ...flagsOf(program)])
  for (const raw of typed) {
    if (['--', '#', '|', '>', '&', '&&', ';', '\\'].includes(raw)) return undefined
    const word = raw.replace(/^[[(]+|[\])…]+$/g, '').replace(/=.*$/, '')
    if (word.startsWith('-') && word.length > 1) {
      const unknown = word.split('|').find((flag) => !flags.has(flag))
      if (unknown) return `${words} has no flag ${unknown}`
      continue
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
    if (!next && command.commands.length > 0 && /^[a-z]+$/.test(word)) return `${words} has no verb ${word}`
    if (!next) continue
    command = next
    words = `${words} ${word}`
    for (const flag of flagsOf(next)) flags.add(flag)
  }
  return undefined
}

function flagsOf(command: Command): readonly string[] {
  return command.options.flatMap((option) => [option.long, option.short].filter((flag) => flag != null))
}
