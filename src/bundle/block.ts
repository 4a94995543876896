// The tar format, one block of 512 bytes at a time: ustar with pax records is written, ustar and GNU are read, and nothing in them is guessed.
import { BundleError } from './error.ts'

export const BLOCK_BYTES = 512

/** Zeros that fill the last block of a content. */
export const paddingOf = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES

export interface Head {
  /** As in the block; an extended header before it may say another. */
  readonly name: Uint8Array
  readonly target: Uint8Array
  readonly type: string
  /** Infinite when it does not fit into octal digits. */
  readonly size: number
  readonly mode: number
}

/** Offset and length of each field, from POSIX.1-1988; what is not here is not read. */
const field = {
  name: [0, 100],
  mode: [100, 8],
  owner: [108, 8],
  group: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const

type Field = keyof typeof field

/** Returns undefined for a block of zeros. */
export function parseBlock(block: Uint8Array): Head | undefined {
  if (block.every((byte) => byte === 0)) return undefined
  const magic = textOf(block, 'magic')
  const isPosix = magic === 'ustar\x0000'
  if (!isPosix && magic !== 'ustar  \0') throw new BundleError('not_an_archive')
  if (octalOf(block, 'checksum') !== checksumOf(block)) throw new BundleError('bad_checksum')
  const prefix = isPosix ? stringOf(block, 'prefix') : block.subarray(0, 0)
  const name = stringOf(block, 'name')
  return {
    name: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name,
    target: stringOf(block, 'target'),
    type: textOf(block, 'type'),
    size: octalOf(block, 'size'),
    mode: octalOf(block, 'mode'),
  }
}

/** Some writers put times of reading and of change, which nobody needs, into the end of a prefix that is short enough. */
const SHORT_PREFIX_BYTES = 131

const bytesOf = (block: Uint8Array, name: Field): Uint8Array =>
  block.subarray(field[name][0], field[name][0] + field[name][1])

const textOf = (block: Uint8Array, name: Field): string => Buffer.from(bytesOf(block, name)).toString('latin1')

/** Up to the first NUL. What stands behind it would be another name to another reader. */
function stringOf(block: Uint8Array, name: Field): Uint8Array {
  const whole = bytesOf(block, name)
  const bytes = whole[SHORT_PREFIX_BYTES - 1] === 0 ? whole.subarray(0, SHORT_PREFIX_BYTES) : whole
  const end = bytes.indexOf(0)
  if (end < 0) return bytes
  if (bytes.subarray(end).some((byte) => byte !== 0)) {
    throw new BundleError('bad_name', Buffer.from(bytes).toString('latin1'))
  }
  return bytes.subarray(0, end)
}

function octalOf(block: Uint8Array, name: Field): number {
  const text = textOf(block, name)
  // GNU writes what needs more digits in base 256, marked by the highest bit; a size like that is over every limit.
  if (text.charCodeAt(0) >= 0x80 && name === 'size') return Number.POSITIVE_INFINITY
  const digits = /^ *([0-7]*)[ \0]*$/.exec(text)?.[1]
  if (digits === undefined) throw new BundleError('bad_header')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

/** The sum of all bytes, those of the checksum itself taken as spaces. */
function checksumOf(block: Uint8Array): number {
  const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0)
  return sum(block) - sum(bytesOf(block, 'checksum')) + field.checksum[1] * 0x20
}

export interface NewHead {
  readonly name: string
  readonly type: '0' | '2' | '5'
  readonly mode: number
  readonly size: number
  readonly target?: string
}

/** The header of an entry, with an extended one before it only if a name needs it. Nothing in it depends on the machine or the time. */
export function formatHead({ name, target = '', ...rest }: NewHead): Buffer {
  const records = [
    ...(isPlain(name) ? [] : [formatRecord('path', name)]),
    ...(isPlain(target) ? [] : [formatRecord('linkpath', target)]),
  ]
  const block = formatBlock({ name: plainOf(name), target: plainOf(target), ...rest })
  if (records.length === 0) return block
  const meta = Buffer.concat(records)
  const head = formatBlock({ name: 'PaxHeader', target: '', type: 'x', mode: 0o644, size: meta.length })
  return Buffer.concat([head, meta, Buffer.alloc(paddingOf(meta.length)), block])
}

/** Fits into its field and means the same to every reader. The prefix field is left empty: an extended header has no odd cases. */
const isPlain = (name: string): boolean => /^[\x20-\x7e]*$/.test(name) && name.length <= field.name[1]

/** What stands in the field when an extended header holds the name. */
const plainOf = (name: string): string => name.replace(/[^\x20-\x7e]/gu, '_').slice(0, field.name[1])

function formatBlock(head: Omit<NewHead, 'type'> & { readonly type: string; readonly target: string }): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  const put = (name: Field, text: string) => block.write(text, field[name][0], 'latin1')
  const putOctal = (name: Field, value: number) => put(name, value.toString(8).padStart(field[name][1] - 1, '0'))
  put('name', head.name)
  putOctal('mode', head.mode)
  putOctal('owner', 0)
  putOctal('group', 0)
  putOctal('size', head.size)
  putOctal('modified', 0)
  put('type', head.type)
  put('target', head.target)
  put('magic', 'ustar\x0000')
  putOctal('major', 0)
  putOctal('minor', 0)
  put('checksum', `${checksumOf(block).toString(8).padStart(6, '0')}\0 `)
  return block
}

/** `length key=value\n`, where the length counts its own digits. */
function formatRecord(key: string, value: string): Buffer {
  const body = ` ${key}=${value}\n`
  const bytes = Buffer.byteLength(body)
  let length = bytes
  while (bytes + String(length).length !== length) length = bytes + String(length).length
  return Buffer.from(`${length}${body}`)
}

/** The records of an extended header. A malformed one would be skipped by some readers and believed by others. */
export function parseRecords(meta: Buffer): ReadonlyMap<string, Buffer> {
  const records = new Map<string, Buffer>()
  for (let at = 0; at < meta.length; ) {
    const space = meta.indexOf(' ', at)
    const digits = space < 0 ? '' : meta.toString('latin1', at, space)
    const end = at + Number(digits)
    if (!/^[1-9][0-9]{0,6}$/.test(digits) || end > meta.length || meta[end - 1] !== 0x0a) {
      throw new BundleError('bad_header')
    }
    const equals = meta.indexOf('=', space)
    if (equals < 0 || equals >= end) throw new BundleError('bad_header')
    const key = meta.toString('utf8', space + 1, equals)
    if (records.has(key)) throw new BundleError('bad_header')
    records.set(key, meta.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}
