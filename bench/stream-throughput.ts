// One job that writes 200 MB, from the child through swarm's spool to pond's disk, against a server that only appends and syncs.
import { createReadStream } from 'node:fs'
import { Agent, request } from 'undici'
import { limit } from '../src/protocol/limit.ts'
import { makeOpenFolder, removeFolder, startChild } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { MB, makeSource, SIZE_BYTES, type Source, throughPond, WARM_PASSES } from './printing-job.ts'
import type { BenchOptions } from './run.ts'

function throughFloor(source: Source): Promise<Sample> {
  return appendFile(source.path, { sizeBytes: SIZE_BYTES, pieceBytes: limit.chunkBytes })
}

/** Each piece is answered, synced, before the next one is sent. As many passes as on our side do not count. */
export async function appendFile(
  path: string,
  { sizeBytes, pieceBytes }: { readonly sizeBytes: number; readonly pieceBytes: number },
): Promise<Sample> {
  const server = startChild('bench/append-server.js')
  const { url } = await server.hear<{ url: string }>('ready')
  const agent = new Agent()
  const pass = async () => {
    const began = performance.now()
    for await (const body of createReadStream(path, { highWaterMark: pieceBytes })) {
      const reply = await request(url, { dispatcher: agent, method: 'POST', body: body as Buffer })
      await reply.body.dump()
    }
    return sizeBytes / MB / ((performance.now() - began) / 1000)
  }
  try {
    const first = await pass()
    for (let warm = 1; warm < WARM_PASSES; warm++) await pass()
    return { value: await pass(), extras: { first_mb_s: first } }
  } finally {
    await agent.destroy()
    await server.stop()
  }
}

export async function streamThroughput({ runs }: BenchOptions): Promise<void> {
  const folder = makeOpenFolder()
  const source = await makeSource(folder)
  const samples = await interleave(runs, { pond: () => throughPond(source), floor: () => throughFloor(source) })
  await removeFolder(folder)
  const against = { name: 'HTTP append and fdatasync', samples: samples.floor }
  printFigure({ bench: 'stream-throughput', unit: 'MB/s', own: samples.pond, against })
}
