// Secrets that occur nowhere else in the world, the forms in which a program may print them, and a search of every byte for each.
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { systemRandom } from '../../src/system/random.ts'

export interface Canary {
  readonly name: string
  /** One line, and a file's name. */
  readonly value: string
  /** What is searched for. */
  readonly needles: readonly string[]
}

/** Bytes of each half: too many to occur by chance, and each half is a secret of its own. */
const HALF_BYTES = 12

/**
 * Two halves around all that URL and JSON escape. A half is letters, which both leave as they are: so a half in the clear is in the raw,
 * the URL and the JSON form of the whole, and also shows where the whole was cut.
 */
export function createCanary(name: string): Canary {
  const halves = [half(), half()] as const
  return { name, value: halves.join('"+%é '), needles: halves.flatMap(formsOf) }
}

/** Letters a to p, of which some have letters in their hex: so its two cases differ. */
const half = () =>
  systemRandom
    .bytes(HALF_BYTES)
    .toString('hex')
    .replace(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 16)))

/** A file of a credential is base64 in JSON, its frames are once more, and what is signed is a third time. */
const BASE64_DEPTH = 3

function formsOf(secret: string): readonly string[] {
  const hex = Buffer.from(secret).toString('hex')
  const layers = [[secret]]
  for (let depth = 1; depth <= BASE64_DEPTH; depth++)
    layers.push((layers.at(-1) ?? []).flatMap((text) => [0, 1, 2].map((shift) => base64(Buffer.from(text), shift))))
  return [...layers.flat(), hex, hex.toUpperCase()]
}

/** The characters that all base64 texts share in which the bytes stand behind others at this shift. */
function base64(bytes: Buffer, shift: number): string {
  const whole = Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .replace(/=+$/, '')
  const known = Math.floor(((shift + bytes.length) * 8) / 6)
  return whole.slice(Math.ceil((shift * 8) / 6), known)
}

/** A place that is searched: a folder with all below it, or a file. */
export type Place = string

export interface Hit {
  readonly canary: string
  readonly path: string
}

/** Every canary that stands in a file or in a name. Reads with grep and find, so that nothing of ours decides what is seen. */
export async function searchPlaces(canaries: readonly Canary[], places: readonly Place[]): Promise<readonly Hit[]> {
  const there = places.filter((place) => existsSync(place))
  if (there.length === 0) return []
  const owners = new Map(canaries.flatMap(({ name, needles }) => needles.map((needle) => [needle, name] as const)))
  const words = [
    ...['--text', '--recursive', '--devices=skip', '--fixed-strings', '--file=-'],
    ...['--only-matching', '--with-filename', '--null'],
  ]
  const [found, paths] = await Promise.all([
    read('grep', [...words, '--', ...there], [...owners.keys()].join('\n')),
    read('find', [...there, '-print'], ''),
  ])
  const inside = found
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\0'))
    .map(([path = '', needle = '']) => ({ path, canary: owners.get(needle) ?? needle }))
  const inNames = [...owners]
    .filter(([needle]) => paths.includes(needle))
    .map(([, canary]) => ({ path: 'a name', canary }))
  return [...new Map([...inside, ...inNames].map((hit) => [`${hit.canary}\0${hit.path}`, hit])).values()]
}

/** What it prints. A place that it could not read may hold anything, unless it is gone. */
async function read(command: 'find' | 'grep', words: readonly string[], input: string): Promise<string> {
  const child = spawn(command, words, { env: { PATH: process.env.PATH, LC_ALL: 'C' } })
  child.stdin.on('error', () => {}).end(input)
  const ended = once(child, 'close')
  const [said, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await ended
  const bad = errors.split('\n').filter((line) => line !== '' && !line.endsWith(': No such file or directory'))
  assert(code !== null && bad.length === 0, `${command} ended with ${code}: ${errors}`)
  return said
}
