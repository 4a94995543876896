// Puts the time at which the worker read a line in front of it, from the marks of the chunks.
import type { Client } from '../client/contract.ts'

export interface StampWish {
  readonly client: Client
  readonly id: string
  readonly stream: string
  readonly attempt: number
}

interface Mark {
  readonly offset: number
  readonly length: number
  readonly at: number
}

const NEWLINE = 10

/** A sink in front of `write`. Calls must follow each other, as a stream's bytes do. */
export function stampLines(wish: StampWish, write: (data: string | Uint8Array) => Promise<void>) {
  let marks: readonly Mark[] = []
  let midLine = false
  const timeOf = async (offset: number): Promise<string> => {
    const has = ({ offset: start, length }: Mark) => start <= offset && offset < start + length
    if (!marks.some(has)) marks = await fetchMarks(wish, offset)
    const mark = marks.find(has)
    return mark ? new Date(mark.at).toISOString() : '-'.padEnd(24)
  }
  return async (bytes: Uint8Array, offset: number) => {
    for (let at = 0; at < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, at)
      const end = newline < 0 ? bytes.length : newline + 1
      if (!midLine) await write(`${await timeOf(offset + at)} `)
      await write(bytes.subarray(at, end))
      midLine = newline < 0
      at = end
    }
  }
}

async function fetchMarks({ client, id, stream, attempt }: StampWish, offset: number): Promise<readonly Mark[]> {
  const answer = await client.call('listChunks', { params: { id, name: stream }, query: { attempt, offset } })
  return answer.ok ? answer.reply.items : []
}
