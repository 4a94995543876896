// What the machine gives at best: one synced write, one HTTP round trip, one spawned process. The other figures stand on these.

import { once } from 'node:events'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { makeFolder, removeFolder } from './child.ts'
import { interleave, median, printFigure, type Sample } from './figure.ts'
import type { BenchOptions } from './run.ts'
import { spawnBare } from './throughput.ts'

const TIMES = 200
const PAGE_BYTES = 4096

async function fsync(): Promise<Sample> {
  const folder = makeFolder()
  const file = openSync(join(folder, 'page'), 'w')
  const page = Buffer.alloc(PAGE_BYTES, 1)
  const times = await timeEach(async () => {
    writeSync(file, page)
    fdatasyncSync(file)
  })
  closeSync(file)
  await removeFolder(folder)
  return { value: median(times) }
}

/** Both ends in this process, so it is the protocol's price and not the scheduler's. */
async function roundTrip(): Promise<Sample> {
  const server = createServer((asked, reply) => asked.resume().on('end', () => reply.end('{}')))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const agent = new Agent()
  const times = await timeEach(async () => {
    const reply = await request(url, { dispatcher: agent, method: 'POST', body: '{}' })
    await reply.body.dump()
  })
  await agent.destroy()
  server.close()
  return { value: median(times) }
}

async function timeEach(once: () => Promise<void>): Promise<number[]> {
  const times: number[] = []
  for (let count = 0; count < TIMES; count++) {
    const began = performance.now()
    await once()
    times.push(performance.now() - began)
  }
  return times
}

export async function floors({ runs }: BenchOptions): Promise<void> {
  const samples = await interleave(runs, { fsync, roundTrip, spawn: () => spawnBare(TIMES) })
  printFigure({ bench: 'fsync', unit: 'ms', own: samples.fsync })
  printFigure({ bench: 'http-round-trip', unit: 'ms', own: samples.roundTrip })
  printFigure({ bench: 'bare-spawn', unit: 'jobs/s', own: samples.spawn })
}
