// A tar writer that can lie: every field of a header is written as told, so that a test can build what no honest program makes.

export interface Lie {
  readonly name?: string | Buffer
  /** '0' file, '1' hard link, '2' symbolic link, '5' folder; anything else as it is. */
  readonly type?: string
  readonly body?: string | Buffer
  /** Written instead of the body's length. */
  readonly size?: number | string
  readonly mode?: number
  readonly target?: string | Buffer
  readonly prefix?: string
  readonly magic?: string
  /** Added to the true checksum. */
  readonly off?: number
}

export function tarHead({ name = 'a', type = '0', body = '', target = '', ...lie }: Lie): Buffer {
  const block = Buffer.alloc(512)
  const size = lie.size ?? Buffer.byteLength(body)
  Buffer.from(name).copy(block, 0, 0, 100)
  block.write(octal(lie.mode ?? 0o644, 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(typeof size === 'string' ? size : octal(size, 11), 124, 12, 'latin1')
  block.write(octal(0, 11), 136)
  block.write(type, 156, 'latin1')
  Buffer.from(target).copy(block, 157, 0, 100)
  block.write(lie.magic ?? 'ustar\x0000', 257, 'latin1')
  block.write(lie.prefix ?? '', 345)
  return sign(block, lie.off)
}

/** Writes the checksum anew. */
export function sign(block: Buffer, off = 0): Buffer {
  block.fill(' ', 148, 156)
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, off)
  block.write(`${octal(sum, 6)}\0 `, 148)
  return block
}

export function tarEntry(lie: Lie): Buffer {
  const body = Buffer.from(lie.body ?? '')
  return Buffer.concat([tarHead(lie), body, Buffer.alloc((512 - (body.length % 512)) % 512)])
}

/** An extended header; each record gets its right length. */
export function pax(records: Readonly<Record<string, string | Buffer>>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
    let length = rest.length + 1
    while (String(length).length + rest.length !== length) length++
    return Buffer.concat([Buffer.from(String(length)), rest])
  })
  return tarEntry({ name: 'PaxHeader', type, body: Buffer.concat(lines) })
}

export const tarEnd = Buffer.alloc(1024)

export const tarOf = (...parts: readonly (Lie | Buffer)[]): Buffer =>
  Buffer.concat([...parts.map((part) => (Buffer.isBuffer(part) ? part : tarEntry(part))), tarEnd])

/** Bytes as a stream, in pieces of a size that fits to nothing. */
export async function* streamOf(bytes: Uint8Array, pieceBytes = 1009): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')
