// A folder of 500 MB on its way to a job: packed, sealed and brought to pond as a consumer does it, then redeemed, checked, opened and unpacked by a worker.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { JobId } from '../src/protocol/id.ts'
import { makeFolder, removeFolder, startChild } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { type PondRig, type SwarmRig, startPond, startSwarm, submit } from './pond-rig.ts'
import { MB } from './printing-job.ts'
import type { BenchOptions } from './run.ts'
import { appendFile } from './stream-throughput.ts'
import { now, type Started } from './worker-report.ts'

const LARGE = { files: 4, sizeBytes: 115 * MB } as const
const SMALL = { folders: 40, files: 100, sizeBytes: 10_000 } as const
const SIZE_BYTES = LARGE.files * LARGE.sizeBytes + SMALL.folders * SMALL.files * SMALL.sizeBytes
/** What one upload of the client brings at most. */
const PIECE_BYTES = 4 * 1024 * 1024

/** A few large files and some thousand small ones, none of which compresses. */
async function makeTree(folder: string): Promise<void> {
  for (let file = 0; file < LARGE.files; file++) {
    const out = createWriteStream(join(folder, `large-${file}`))
    for (let written = 0; written < LARGE.sizeBytes; written += MB) out.write(randomBytes(MB))
    await new Promise<void>((resolve, reject) => out.once('error', reject).end(resolve))
  }
  for (let child = 0; child < SMALL.folders; child++) {
    const path = join(folder, `small-${child}`)
    await mkdir(path)
    for (let file = 0; file < SMALL.files; file++) {
      await writeFile(join(path, `file-${file}`), randomBytes(SMALL.sizeBytes))
    }
  }
}

const rate = (seconds: number): number => SIZE_BYTES / MB / seconds

async function timed(work: () => Promise<unknown>): Promise<Sample> {
  const began = performance.now()
  await work()
  return { value: rate((performance.now() - began) / 1000) }
}

/** As it is typed: the start of the program is part of it, and so is the job that it hands in. */
async function send(pond: PondRig, { tree, home }: { readonly tree: string; readonly home: string }): Promise<JobId> {
  const argv = ['submit', '--json', '--plain', '--idempotent', '--home', home, '--bundle', tree, '--', '/bin/true']
  const child = startChild('bin/pond.js', { argv, env: { POND_URL: pond.url, POND_TOKEN: pond.token } })
  const { id } = await child.hear<{ id: JobId }>('line')
  return id
}

/** From the submit to the moment when the process is there, with all of the folder around it. */
async function bringDown(pond: PondRig, swarm: SwarmRig, digest: string): Promise<number> {
  swarm.child.say({ expect: 1 })
  const began = now()
  await submit(pond, { command: ['/bin/true'], idempotent: true, bundle: digest })
  const { at } = await swarm.child.hear<Started>('started')
  await swarm.child.hear('done')
  return rate(Number(BigInt(at) - began) / 1e9)
}

interface Round {
  readonly up: Sample
  readonly down: Sample
}

async function throughPond(tree: string): Promise<Round> {
  const home = makeFolder()
  const pond = await startPond()
  try {
    const began = performance.now()
    const id = await send(pond, { tree, home })
    const up = rate((performance.now() - began) / 1000)
    const againBegan = performance.now()
    const again = await send(pond, { tree, home })
    const unchanged = rate((performance.now() - againBegan) / 1000)
    const job = await pond.client.call('getJob', { params: { id } })
    for (const queued of [id, again]) await pond.client.call('cancelJob', { params: { id: queued } })
    if (!job.ok || job.reply.bundle === undefined) throw new Error('the job has no bundle')
    const swarm = await startSwarm(pond, { slots: 1, executor: 'process' })
    swarm.child.say({ starts: true })
    try {
      const down = await bringDown(pond, swarm, job.reply.bundle)
      const cached = await bringDown(pond, swarm, job.reply.bundle)
      return { up: { value: up, extras: { unchanged } }, down: { value: down, extras: { cached } } }
    } finally {
      await swarm.stop()
    }
  } finally {
    await pond.stop()
    await removeFolder(home)
  }
}

const run = promisify(execFile)

async function copy(tree: string): Promise<Sample> {
  const folder = makeFolder()
  try {
    return await timed(() => run('/bin/cp', ['-r', tree, join(folder, 'copy')]))
  } finally {
    await removeFolder(folder)
  }
}

async function sha256(tree: string): Promise<Sample> {
  return await timed(async () => {
    const hash = createHash('sha256')
    for (const entry of await readdir(tree, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      for await (const bytes of createReadStream(join(entry.parentPath, entry.name), { highWaterMark: 1024 * 1024 }))
        hash.update(bytes as Buffer)
    }
  })
}

/** Of one large file, in pieces as long as those of the client. */
async function upload(tree: string): Promise<Sample> {
  return await appendFile(join(tree, 'large-0'), { sizeBytes: LARGE.sizeBytes, pieceBytes: PIECE_BYTES })
}

export async function bundle({ runs }: BenchOptions): Promise<void> {
  const tree = makeFolder()
  await makeTree(tree)
  const downs: Sample[] = []
  const samples = await interleave(runs, {
    up: async () => {
      const { up, down } = await throughPond(tree)
      downs.push(down)
      return { ...up, extras: { ...up.extras, down: down.value, ...down.extras } }
    },
    copy: () => copy(tree),
    hash: () => sha256(tree),
    upload: () => upload(tree),
  })
  await removeFolder(tree)
  const floors = [
    { name: 'cp -r', samples: samples.copy },
    { name: 'SHA-256 of the files', samples: samples.hash },
    { name: 'HTTP append and fdatasync', samples: samples.upload },
  ]
  for (const against of floors) printFigure({ bench: 'bundle-up', unit: 'MB/s', own: samples.up, against })
  for (const against of floors) printFigure({ bench: 'bundle-down', unit: 'MB/s', own: downs, against })
}
