// What to search for so that secret values are found: each value and each of its lines, in every form in which programs print text.
// How it is searched lives in automaton.ts.
import assert from 'node:assert'
import { isUtf8 } from 'node:buffer'

/** A string stands for its UTF-8 bytes. */
export type Secret = string | Uint8Array

export interface Needles {
  /** As latin1 text, a character for a byte. None is shorter than `SHORTEST`. */
  readonly needles: readonly string[]
  /** Which secrets are too short to be searched, as places in their list. An empty one hides nothing and is not named. */
  readonly unsearched: readonly number[]
}

/**
 * Of a value or a line, without the white space around it. What is shorter is a common word or number: `prod`, `true` or `8080` would
 * tear holes into output that has nothing to do with the secret.
 */
export const SHORTEST = 6

/** Of all secrets of a job together. A binary one of this size takes 130 MB and 0.8 s to prepare, a PEM file 65 MB and 0.4 s. */
export const SECRET_BYTES_MOST = 64 * 1024

export function listNeedles(secrets: readonly Secret[]): Needles {
  const values = secrets.map(toLatin1)
  assert(values.reduce((sum, { length }) => sum + length, 0) <= SECRET_BYTES_MOST, 'the secrets of a job are bounded')
  const needles = new Set<string>()
  for (const value of values.filter(isLong)) {
    const texts = new Set([value.replace(/[\r\n]+$/, ''), ...linesOf(value)])
    for (const text of texts) needles.add(text)
    // With its last line end too: who encodes a file does not cut it off.
    for (const text of texts.add(value)) for (const form of formsOf(text)) needles.add(form)
  }
  const unsearched = [...values.keys()].filter((index) => values[index] !== '' && !isLong(values[index] ?? ''))
  return { needles: [...needles], unsearched }
}

function toLatin1(secret: Secret): string {
  const bytes = typeof secret === 'string' ? Buffer.from(secret) : Buffer.from(secret)
  return bytes.toString('latin1')
}

const isLong = (value: string) => trim(value).length >= SHORTEST

/** A line is searched without its indentation, as it may be printed with another. */
const linesOf = (value: string) =>
  value
    .split(/[\r\n]/)
    .map(trim)
    .filter(isLong)

/** Not `String.trim`: in latin1 that takes the byte 0xa0, which is half a letter. */
const trim = (value: string) => value.replace(/^[\t-\r ]+|[\t-\r ]+$/g, '')

function* formsOf(text: string): Generator<string> {
  const bytes = Buffer.from(text, 'latin1')
  yield* base64Forms(bytes)
  yield* base64Lines(bytes)
  yield bytes.toString('hex')
  yield bytes.toString('hex').toUpperCase()
  yield* urlForms(text)
  if (isUtf8(bytes)) yield* jsonForms(bytes.toString('utf8'))
}

/**
 * In a longer text that is encoded as a whole, a value begins at the first, second or third byte of a group of three, and looks
 * different each time; only the characters that it shares with no neighbour are always the same. Where it ends the text, its last
 * character and the padding are known too.
 */
function* base64Forms(bytes: Buffer): Generator<string> {
  for (const before of [0, 1, 2]) {
    const ended = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .slice(Math.ceil((before * 8) / 6))
    const known = Math.floor(((before + bytes.length) * 8) / 6) - Math.ceil((before * 8) / 6)
    for (const form of [ended.slice(0, known), ended.replace(/=+$/, ''), ended]) {
      yield form
      yield form.replaceAll('+', '-').replaceAll('/', '_')
    }
  }
}

/** As `openssl base64` and `base64` break their lines. */
const WRAPS = [64, 76] as const

/** Where a value alone is printed over several lines. Inside a longer text the breaks can fall anywhere, and are not followed. */
function* base64Lines(bytes: Buffer): Generator<string> {
  const text = bytes.toString('base64')
  for (const width of WRAPS) {
    const lines = text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []
    if (lines.length < 2) continue
    yield lines.join('\n')
    yield* lines.filter((line) => line.length === width)
  }
}

/** What each way of writing keeps; all other bytes become %XX. */
const urlRules = [
  { encoded: /[^\w.!~*'()-]/g, space: '%20', by: 'encodeURIComponent' },
  { encoded: /[^\w.*-]/g, space: '+', by: 'forms' },
  { encoded: /[^\w.~-]/g, space: '%20', by: 'RFC 3986' },
  { encoded: /[^\w.~/-]/g, space: '%20', by: 'paths' },
] as const

function* urlForms(text: string): Generator<string> {
  for (const { encoded, space } of urlRules) {
    const write = (byte: string) => (byte === ' ' ? space : `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
    const form = text.replace(encoded, write)
    yield form
    yield form.replace(/%../g, (code) => code.toUpperCase())
  }
}

interface JsonStyle {
  /** `/` as `\/`, as PHP does. */
  readonly slash: boolean
  /** `<`, `>` and `&` as `\u003c` and so on, as Go does. */
  readonly html: boolean
  /** What is not ASCII as `\uXXXX`, as Python does. */
  readonly ascii: boolean
  readonly upper: boolean
}

const either = [false, true]
const jsonStyles: readonly JsonStyle[] = either.flatMap((slash) =>
  either.flatMap((html) => either.flatMap((ascii) => either.map((upper) => ({ slash, html, ascii, upper })))),
)

function* jsonForms(text: string): Generator<string> {
  for (const style of jsonStyles) yield Buffer.from(writeJson(text, style)).toString('latin1')
}

function writeJson(text: string, { slash, html, ascii, upper }: JsonStyle): string {
  const code = (unit: string) => {
    const hex = unit.charCodeAt(0).toString(16).padStart(4, '0')
    return `\\u${upper ? hex.toUpperCase() : hex}`
  }
  return text.replace(/[^ -~]|["\\/<>&]/g, (unit) => {
    if (unit === '/') return slash ? '\\/' : unit
    if (/[<>&]/.test(unit)) return html ? code(unit) : unit
    if (unit > '\x7f') return ascii ? code(unit) : unit
    const plain = JSON.stringify(unit).slice(1, -1)
    return plain.startsWith('\\u') ? code(unit) : plain
  })
}
