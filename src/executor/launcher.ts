// The words between a berth and its launcher: orders to it, lines from it.
import { SetupError } from './contract.ts'
import type { Order } from './starter.ts'

export type LauncherLine =
  | { readonly says: 'ready'; readonly pipes: readonly number[] }
  | { readonly says: 'started'; readonly pid: number }
  | { readonly says: 'failed'; readonly reason: string }
  | { readonly says: 'ended'; readonly status: number; readonly quiet: boolean }

export function parseLine(line: string): LauncherLine | undefined {
  const [says, ...words] = line.split(' ')
  const [first = Number.NaN] = words.map(Number)
  switch (says) {
    case 'ready':
      return { says, pipes: words.map(Number) }
    case 'started':
      return { says, pid: first }
    case 'failed':
      return { says, reason: words.join(' ') }
    case 'ended':
      return { says, status: first, quiet: words[1] === 'quiet' }
    default:
      return undefined
  }
}

/** One order as the launcher reads it. */
export function printOrder({ box, input, file, args, env }: Order): Buffer {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const words = [box.work, input, String(box.uid ?? ''), String(args.length + 1), file, ...args, ...pairs]
  if (words.some((word) => word.includes('\0')))
    throw new SetupError(`cannot start ${file}: a null byte in its command or environment`)
  const text = words.join('\0')
  const length = Buffer.byteLength(text)
  const order = Buffer.allocUnsafe(4 + length)
  order.writeUInt32BE(length)
  order.write(text, 4)
  return order
}
