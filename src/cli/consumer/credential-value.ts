// The values of a credential: from files, from stdin or asked for on the terminal, never from the command line. No message here holds one.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { judge } from '../../protocol/fault.ts'
import { envName, word } from '../../protocol/job.ts'
import { limit } from '../../protocol/limit.ts'
import type { CredentialValues } from '../../protocol/sealed.ts'
import { Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { formatSize } from '../size.ts'

export interface ValueFlags {
  /** Names of variables whose values are asked for, or come on stdin. */
  readonly key?: readonly string[]
  /** `FILE`, or `NAME=FILE`. */
  readonly fromFile?: readonly string[]
  readonly tokenFile?: string
}

/** The bytes that are sealed; whoever gets them wipes them. */
export async function gatherValues(io: Io, flags: ValueFlags): Promise<Buffer> {
  const { key = [], fromFile = [], tokenFile } = flags
  if (key.length === 0 && fromFile.length === 0) {
    throw usageFailure('a credential needs a value', 'Name variables with --key, files with --from-file.')
  }
  checkNames(key)
  if (key.length > 0 && tokenFile === '-' && !io.stdin.isTty) {
    throw usageFailure('the token and the values cannot both come on stdin', 'Give the token in POND_TOKEN.')
  }
  const files = await readFiles(fromFile)
  const env = key.length > 0 ? await readKeys(io, key) : {}
  const values: CredentialValues = { ...(key.length > 0 ? { env } : {}), ...(fromFile.length > 0 ? { files } : {}) }
  const bytes = Buffer.from(JSON.stringify(values))
  if (bytes.length <= limit.credentialBytes) return bytes
  bytes.fill(0)
  throw new Failure({
    what: `the credential is too large`,
    why: `it takes ${formatSize(bytes.length)} of at most ${formatSize(limit.credentialBytes)}`,
    next: 'Send large files along with --bundle.',
    exit: 'usage',
  })
}

/** Besides POND_…: where the process finds its files. */
const RESERVED = 'CREDENTIALS_DIRECTORY'

function checkNames(keys: readonly string[]): void {
  for (const [index, name] of keys.entries()) {
    const judged = judge(envName, name)
    // Somebody typed NAME=VALUE: what is behind the sign must not be printed once more.
    if (name.includes('=')) {
      throw usageFailure(
        '--key takes a name and no value',
        'The value is asked for, or comes on stdin; argv is no secret.',
      )
    }
    if (!judged.ok || name === RESERVED) {
      const why = judged.ok ? 'stands for the folder of the files' : judged.faults[0].says
      throw usageFailure(`a credential cannot have the variable ${name}`, `It ${why}.`)
    }
    if (keys.indexOf(name) < index) throw usageFailure(`${name} is named twice`)
  }
}

async function readKeys(io: Io, keys: readonly string[]): Promise<Readonly<Record<string, string>>> {
  if (io.stdin.isTty) {
    const values: Record<string, string> = {}
    for (const name of keys) {
      const answer = await io.askSecret(`Value of ${name}`)
      if (answer === undefined) throw new Failure({ what: 'nothing was stored', why: `no value was given for ${name}` })
      values[name] = checkValue(name, answer)
    }
    return values
  }
  const bytes = await io.stdin.readAll()
  const [only, ...others] = keys
  try {
    const text = decode(bytes)
    // What `echo` puts behind a value is hardly ever meant to be part of it.
    if (only !== undefined && others.length === 0) return { [only]: checkValue(only, text.replace(/\r?\n$/, '')) }
    return readLines(text, keys)
  } finally {
    bytes.fill(0)
  }
}

/** One `NAME=VALUE` a line, for exactly these names. The value is all behind the first sign, as it stands. */
function readLines(text: string, keys: readonly string[]): Readonly<Record<string, string>> {
  const lines = text.split(/\r?\n/).filter((line) => line !== '')
  const pairs = lines.map((line, index) => {
    const at = line.indexOf('=')
    const name = line.slice(0, Math.max(0, at))
    if (!keys.includes(name)) {
      throw usageFailure(
        `line ${index + 1} of stdin begins with none of the names`,
        `Write NAME=VALUE for ${keys.join(', ')}.`,
      )
    }
    return [name, checkValue(name, line.slice(at + 1))] as const
  })
  const odd = keys.find((name) => pairs.filter(([named]) => named === name).length !== 1)
  if (odd !== undefined) throw usageFailure(`stdin must hold ${odd} once`, 'Write one NAME=VALUE a line.')
  return Object.fromEntries(pairs)
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw usageFailure('stdin is not UTF-8 text', 'Bytes that are no text go by --from-file.')
  }
}

function checkValue(name: string, value: string): string {
  if (value === '') throw usageFailure(`${name} has no value`)
  if (word.safeParse(value).success) return value
  throw usageFailure(
    `a variable cannot hold the value of ${name}`,
    `It is longer than ${limit.wordBytes} bytes or has a NUL in it; use --from-file.`,
  )
}

const looksLikeFile = /^[A-Za-z0-9._-]{1,255}$/

async function readFiles(wishes: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {}
  for (const wish of wishes) {
    const at = wish.indexOf('=')
    const path = wish.slice(at + 1)
    const name = at < 0 ? basename(path) : wish.slice(0, at)
    if (!looksLikeFile.test(name) || name === '.' || name === '..') {
      throw usageFailure(
        `a file of a credential cannot be called ${JSON.stringify(name)}`,
        'Name it with letters, digits, dots, - and _: --from-file NAME=FILE.',
      )
    }
    if (Object.hasOwn(files, name))
      throw usageFailure(`two files would be called ${name}`, 'Name one: --from-file NAME=FILE.')
    files[name] = await readOne(path)
  }
  return files
}

async function readOne(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    const text = bytes.toString('base64')
    bytes.fill(0)
    return text
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Failure({ what: `could not read ${path}`, why, exit: 'usage', cause })
  }
}
