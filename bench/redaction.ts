// What redaction costs a job that prints no secret: each byte is looked at, or skipped, before it reaches the spool.
import { randomBytes } from 'node:crypto'
import { createRedaction } from '../src/orchestrator/redact.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import type { BenchOptions } from './run.ts'

const MB = 1_000_000
const SIZE_BYTES = 64 * MB
/** As much as one read of a pipe brings at most. */
const PIECE_BYTES = 64 * 1024
const SECRETS = [1, 10, 100] as const
const SECRET_CHARS = 40

const texts: Readonly<Record<string, () => Buffer>> = {
  random: () => randomBytes(SIZE_BYTES),
  log: () => Buffer.alloc(SIZE_BYTES, Array.from({ length: 20_000 }, (_, number) => logLine(number)).join('')),
}

/** Words, numbers, and hex that is met by the first bytes of many needles. */
function logLine(number: number): string {
  const time = new Date(number * 1373).toISOString()
  const id = randomBytes(8).toString('hex')
  return `${time} INFO worker[${number % 97}] GET /v1/jobs/${number * 7919} request=${id} status=200 took ${number % 893} ms\n`
}

function* piecesOf(text: Buffer): Generator<Buffer> {
  for (let at = 0; at < text.length; at += PIECE_BYTES) yield text.subarray(at, at + PIECE_BYTES)
}

function rate(text: Buffer, each: (piece: Buffer) => number): Sample {
  let bytes = 0
  const began = performance.now()
  for (const piece of piecesOf(text)) bytes += each(piece)
  const seconds = (performance.now() - began) / 1000
  if (bytes !== text.length) throw new Error(`${text.length - bytes} bytes were taken for a secret`)
  return { value: text.length / MB / seconds }
}

function redact(text: Buffer, secrets: readonly string[]): Sample {
  const began = performance.now()
  const redactor = createRedaction(secrets).redactor()
  const buildMs = performance.now() - began
  let held = 0
  const sample = rate(text, (piece) => {
    const before = held
    const { length } = redactor.push(piece)
    held = redactor.held()
    return length + held - before
  })
  return { ...sample, extras: { build_ms: buildMs } }
}

/** A tenth of the forms, and nothing across two pieces. */
const search = (text: Buffer, secrets: readonly string[]) =>
  rate(text, (piece) => (secrets.some((secret) => piece.includes(secret)) ? 0 : piece.length))

export async function redaction({ runs }: BenchOptions): Promise<void> {
  for (const [name, make] of Object.entries(texts)) {
    const text = make()
    for (const count of SECRETS) {
      const secrets = Array.from({ length: count }, () => randomBytes(SECRET_CHARS / 2).toString('hex'))
      const samples = await interleave(runs, {
        redact: async () => redact(text, secrets),
        search: async () => search(text, secrets),
      })
      const facts = { text: name, secrets: count }
      const against = { name: 'Buffer.includes of each value as it is', samples: samples.search }
      printFigure({ bench: 'redaction', facts, unit: 'MB/s', own: samples.redact, against })
    }
  }
}
