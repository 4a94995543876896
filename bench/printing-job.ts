// One job that prints 200 MB, plain or sealed, from the child through swarm's spool to pond's disk; and its consumer, who reads all of it back.
import { createHash, randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClaimId, JobId } from '../src/protocol/id.ts'
import { limit } from '../src/protocol/limit.ts'
import { fingerprint } from '../src/seal/fingerprint.ts'
import type { KeyPair } from '../src/seal/key.ts'
import { printKey } from '../src/seal/key-text.ts'
import { createSegmentReader, type SegmentReader } from '../src/seal/open/segment.ts'
import { loadSodium } from '../src/seal/sodium.ts'
import { cpuUs, residentKb } from './child.ts'
import type { Sample } from './figure.ts'
import { type PondRig, type SwarmRig, startPond, startSwarm, submit } from './pond-rig.ts'

export const MB = 1_000_000
export const SIZE_BYTES = 200 * MB
/** So many do not count, on either side: V8 goes on compiling until the fourth or fifth. */
export const WARM_PASSES = 5
/** Headers, frames and the room that segments leave at their ends. */
const SEALED_MOST = 1.02

/** What a job prints. */
export interface Source {
  readonly path: string
  readonly sha256: string
}

/** It lies in a file, so that no random generator is measured; a job that is a user of its own must be able to read it. */
export async function makeSource(folder: string): Promise<Source> {
  const path = join(folder, 'source')
  const hash = createHash('sha256')
  const file = await open(path, 'w', 0o644)
  for (let written = 0; written < SIZE_BYTES; written += MB) {
    const bytes = randomBytes(MB)
    hash.update(bytes)
    await file.write(bytes)
  }
  await file.close()
  return { path, sha256: hash.digest('hex') }
}

/**
 * From the submit to the accepted final word, which pond takes only when it has every byte. With a recipient all of it is sealed. The jobs before
 * the one that counts pay for compiling code, as a service does once.
 */
export async function throughPond(source: Source, recipient?: KeyPair): Promise<Sample> {
  const pond = await startPond()
  const swarm = await startSwarm(pond, { slots: 1, executor: 'process' })
  try {
    const firstBegan = performance.now()
    await print({ pond, swarm }, source, recipient)
    const firstSeconds = (performance.now() - firstBegan) / 1000
    for (let pass = 1; pass < WARM_PASSES; pass++) await print({ pond, swarm }, source, recipient)
    const cpuBegan = [pond, swarm.child].map(({ pid }) => cpuUs(pid))
    const began = performance.now()
    const id = await print({ pond, swarm }, source, recipient)
    const seconds = (performance.now() - began) / 1000
    const [pondCpu = 0, swarmCpu = 0] = [pond, swarm.child].map(({ pid }, side) => cpuUs(pid) - (cpuBegan[side] ?? 0))
    const chunks = SIZE_BYTES / limit.chunkBytes
    const extras = {
      first_mb_s: SIZE_BYTES / MB / firstSeconds,
      pond_cpu_us_per_chunk: pondCpu / chunks,
      swarm_cpu_us_per_chunk: swarmCpu / chunks,
      pond_peak_mb: residentKb(pond.pid, 'peak') / 1024,
      swarm_peak_mb: residentKb(swarm.child.pid, 'peak') / 1024,
      read_mb_s: await readBack(pond, { id, source, recipient }),
    }
    return { value: SIZE_BYTES / MB / seconds, extras }
  } finally {
    await swarm.stop()
    await pond.stop()
  }
}

interface Sides {
  readonly pond: PondRig
  readonly swarm: SwarmRig
}

/** Resolves when pond has taken the last word of the job. */
async function print({ pond, swarm }: Sides, source: Source, recipient: KeyPair | undefined): Promise<JobId> {
  swarm.child.say({ expect: 1 })
  const [id] = await submit(pond, {
    command: ['/bin/cat', source.path],
    limits: { stream_bytes: Math.ceil(SIZE_BYTES * SEALED_MOST) },
    ...(recipient && { recipients: [printKey('recipient', recipient.publicKey)] }),
  })
  await swarm.child.hear('done')
  return id as JobId
}

interface Printed {
  readonly id: JobId
  readonly source: Source
  readonly recipient: KeyPair | undefined
}

/** MB/s of a consumer who reads it all, opens it where it is sealed, and finds it to be what the job wrote. */
async function readBack(pond: PondRig, { id, source, recipient }: Printed): Promise<number> {
  const reader = recipient && (await openerOf(pond, id, recipient))
  const began = performance.now()
  const stream = await pond.client.open('readStream', { params: { id, name: 'stdout' }, query: { follow: '1' } })
  if (!stream.ok) throw new Error(stream.error.message)
  const hash = createHash('sha256')
  for await (const bytes of stream.body) {
    for (const piece of reader ? reader.push(bytes).map((opened) => opened.bytes) : [bytes]) hash.update(piece)
  }
  const seconds = (performance.now() - began) / 1000
  const whole = !reader || reader.ended()
  if (!whole || hash.digest('hex') !== source.sha256) throw new Error('pond does not have what the job wrote')
  return SIZE_BYTES / MB / seconds
}

async function openerOf({ client }: PondRig, id: JobId, recipient: KeyPair): Promise<SegmentReader> {
  const sodium = await loadSodium()
  const [job, attempts, workers] = await Promise.all([
    client.call('getJob', { params: { id } }),
    client.call('listAttempts', { params: { id } }),
    client.call('listWorkers', {}),
  ])
  if (!job.ok || !attempts.ok || !workers.ok) throw new Error('pond does not tell of the job')
  const keys = workers.reply.items.map((worker) => worker.signing_key)
  return createSegmentReader({
    sodium,
    stream: { job: id, claim: attempts.reply.items[0]?.claim_id as ClaimId, stream: 'stdout' },
    jobDigest: job.reply.digest,
    pairs: [recipient],
    trusts: (key) => keys.includes(key),
    named: (of) => of === fingerprint(recipient.publicKey),
  })
}
