// The secret of a simulated consumer, and how it is found wherever it must not be. Seals nothing.
import type { Random } from '../../src/system/random.ts'

export const CREDENTIAL = 'canary'
/** The variable that a process finds it in. */
export const SECRET_NAME = 'CANARY'
/** What stands in the place of a secret that a process printed. */
export const REDACTED = '[redacted]'

const LETTERS = 24

/** Letters whose base64 has no other characters than letters and digits, so that it reads the same in every alphabet. */
export const drawSecret = (random: Random) =>
  [...random.bytes(LETTERS)].map((byte) => String.fromCharCode(97 + (byte & 15))).join('')

/** Tells whether bytes hold the secret: as it is, in hex, or in base64 behind any number of other bytes. */
export function createSearch(secret: string): (bytes: Uint8Array | string) => boolean {
  const hex = Buffer.from(secret).toString('hex')
  const needles = [secret, hex, hex.toUpperCase(), ...[0, 1, 2].map((shift) => base64Core(secret, shift))]
  const wanted = needles.map((needle) => Buffer.from(needle))
  return (bytes) => {
    if (typeof bytes === 'string') return needles.some((needle) => bytes.includes(needle))
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return wanted.some((needle) => buffer.includes(needle))
  }
}

/** The characters that are the same whatever stands around the text. */
function base64Core(text: string, shift: number): string {
  const whole = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString('base64')
  return whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + text.length) * 8) / 6))
}
