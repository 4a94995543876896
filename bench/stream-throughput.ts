// One job that writes 200 MB, from the child through swarm's spool to pond's disk, against a server that only appends and syncs.
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import type { JobId } from '../src/protocol/id.ts'
import { limit } from '../src/protocol/limit.ts'
import { cpuUs, makeFolder, removeFolder, residentKb, startChild } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { type PondRig, startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const MB = 1_000_000
const SIZE_BYTES = 200 * MB

/** What the job prints lies in a file, so that no random generator is measured. */
async function makeSource(folder: string): Promise<{ path: string; sha256: string }> {
  const path = join(folder, 'source')
  const hash = createHash('sha256')
  const file = await open(path, 'w')
  for (let written = 0; written < SIZE_BYTES; written += MB) {
    const bytes = randomBytes(MB)
    hash.update(bytes)
    await file.write(bytes)
  }
  await file.close()
  return { path, sha256: hash.digest('hex') }
}

/** From the submit to the accepted final word, which pond takes only when it has every byte. */
async function throughPond(source: { path: string; sha256: string }): Promise<Sample> {
  const pond = await startPond()
  const swarm = await startSwarm(pond, { slots: 1, executor: 'process' })
  try {
    swarm.child.say({ expect: 1 })
    const cpuBegan = [pond, swarm.child].map(({ pid }) => cpuUs(pid))
    const began = performance.now()
    const [id = ''] = await submit(pond, {
      command: ['/bin/cat', source.path],
      limits: { stream_bytes: SIZE_BYTES + MB },
    })
    await swarm.child.hear('done')
    const seconds = (performance.now() - began) / 1000
    const [pondCpu = 0, swarmCpu = 0] = [pond, swarm.child].map(({ pid }, side) => cpuUs(pid) - (cpuBegan[side] ?? 0))
    const chunks = SIZE_BYTES / limit.chunkBytes
    const extras = {
      pond_cpu_us_per_chunk: pondCpu / chunks,
      swarm_cpu_us_per_chunk: swarmCpu / chunks,
      pond_peak_mb: residentKb(pond.pid, 'peak') / 1024,
      swarm_peak_mb: residentKb(swarm.child.pid, 'peak') / 1024,
    }
    await checkDigest(pond, id as JobId, source.sha256)
    return { value: SIZE_BYTES / MB / seconds, extras }
  } finally {
    await swarm.stop()
    await pond.stop()
  }
}

async function checkDigest(pond: PondRig, id: JobId, sha256: string): Promise<void> {
  const stream = await pond.client.open('readStream', { params: { id, name: 'stdout' }, query: { follow: '1' } })
  if (!stream.ok) throw new Error(stream.error.message)
  const hash = createHash('sha256')
  for await (const bytes of stream.body) hash.update(bytes)
  if (hash.digest('hex') !== sha256) throw new Error('pond does not have what the job wrote')
}

async function throughFloor(source: { path: string }): Promise<Sample> {
  const server = startChild('bench/append-server.js')
  const { url } = await server.hear<{ url: string }>('ready')
  const agent = new Agent()
  try {
    const began = performance.now()
    for await (const body of createReadStream(source.path, { highWaterMark: limit.chunkBytes })) {
      const reply = await request(url, { dispatcher: agent, method: 'POST', body: body as Buffer })
      await reply.body.dump()
    }
    return { value: SIZE_BYTES / MB / ((performance.now() - began) / 1000) }
  } finally {
    await agent.destroy()
    await server.stop()
  }
}

export async function streamThroughput({ runs }: BenchOptions): Promise<void> {
  const folder = makeFolder()
  const source = await makeSource(folder)
  const samples = await interleave(runs, { pond: () => throughPond(source), floor: () => throughFloor(source) })
  await removeFolder(folder)
  const against = { name: 'HTTP append and fdatasync', samples: samples.floor }
  printFigure({ bench: 'stream-throughput', unit: 'MB/s', own: samples.pond, against })
}
