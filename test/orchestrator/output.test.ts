// The output of one claim: how much of what its process writes is in memory, however fast it writes and however far away pond is.
import { spawn } from 'node:child_process'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import type { Answer, Client } from '../../src/client/contract.ts'
import { drainPipe } from '../../src/executor/pipe.ts'
import { createOutput } from '../../src/orchestrator/output.ts'
import { createPrivacy } from '../../src/orchestrator/privacy.ts'
import { limit } from '../../src/protocol/limit.ts'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { type Disk, systemDisk } from '../../src/system/disk.ts'
import { silentLog } from '../../src/system/log.ts'
import { factsOf, workerSigner } from '../harness/claim-facts.ts'
import { createFakePond, refusal } from '../harness/fake-pond-client.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'

const MiB = 1024 * 1024
/** DESIGN § 9: spool memory of one job, all of its streams together. */
const JOB_BYTES = 8 * MiB
/** By each of the two streams of the job. */
const WRITTEN = 24 * MiB

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes of all buffers that somebody in this process still holds on to. */
function heldBytes(): number {
  collect()
  return process.memoryUsage().arrayBuffers
}

interface World {
  readonly disk: Disk
  /** Answers a chunk, or never does. */
  readonly answer: (offset: number, length: number, signal: AbortSignal) => Promise<Answer<'sendChunk'>>
}

/** A child fills both of its pipes as fast as it can into the output of one job; answers the most that was held meanwhile. */
async function flood(t: Test, { disk, answer }: World): Promise<number> {
  const pond = createFakePond({ clock: systemClock, random: createSeededRandom(1) })
  const abort = new AbortController()
  const persist = ((_, call = {}) => {
    const { query, body } = call
    return answer(Number(query?.offset), (body as unknown as Uint8Array).length, abort.signal)
  }) as Client['persist']
  const folder = t.testdir()
  // The least of all looks is what holds nothing: at the first one memory of the world before may still be there.
  const looks = [heldBytes()]
  const claim = factsOf(pond.give({}, { limits: { stream_bytes: 2 * WRITTEN, artifact_bytes: MiB } }))
  const random = createSeededRandom(2)
  const privacy = await createPrivacy({ random, signer: workerSigner, claim, secrets: [] })
  const output = createOutput({
    client: { ...pond.client, persist },
    clock: systemClock,
    disk,
    log: silentLog,
    claim,
    privacy,
    folder,
    ready: async () => {},
    signal: abort.signal,
    failed: (error) => t.fail(String(error)),
  })
  let pieces = 0
  const take = (channel: 'stdout' | 'stderr') => (bytes: Buffer) => {
    const waits = output.write(channel, bytes)
    if (++pieces % 32 === 0) looks.push(heldBytes())
    return waits
  }
  const failed = (error: unknown) => t.fail(String(error))
  const child = spawn('sh', ['-c', 'head -c $0 /dev/zero >&2 & head -c $0 /dev/zero; wait', `${WRITTEN}`])
  const { stdout, stderr } = child
  await Promise.all([
    drainPipe({ readable: stdout, output: take('stdout'), failed }),
    drainPipe({ readable: stderr, output: take('stderr'), failed }),
  ])
  await output.end()
  looks.push(heldBytes())
  t.match(await output.spooled(), {
    stdout: { kept: WRITTEN, left_out: 0 },
    stderr: { kept: WRITTEN, left_out: 0 },
  })
  abort.abort()
  await output.deliver()
  await output.close()
  return Math.max(...looks) - Math.min(...looks)
}

const stopped: World['answer'] = async (_offset, _length, signal) => {
  await sleep(systemClock, 3_600_000, signal)
  return { ok: false, error: refusal('unreachable') }
}

const taken: World['answer'] = async (offset, length) => {
  await sleep(systemClock, 1)
  return { ok: true, status: 200, reply: { committed: offset + length }, headers: {} }
}

/** Each append takes as long as on a busy disk. */
const slowDisk: Disk = {
  ...systemDisk,
  async open(path) {
    const file = await systemDisk.open(path)
    return {
      ...file,
      async append(...pieces) {
        await sleep(systemClock, 25)
        await file.append(...pieces)
      },
    }
  },
}

const worlds: Readonly<Record<string, World>> = {
  'pond stands still': { disk: systemDisk, answer: stopped },
  'pond stands still and the disk is slow': { disk: slowDisk, answer: stopped },
  'pond takes all of it': { disk: systemDisk, answer: taken },
}

for (const [name, world] of Object.entries(worlds)) {
  t.test(`one job writes as fast as it can while ${name}`, async (t) => {
    const most = await flood(t, world)
    t.comment(`${(most / MiB).toFixed(1)} MiB at most`)
    t.ok(most <= JOB_BYTES, `${most} bytes held`)
    t.ok(most >= limit.chunkBytes, 'and the measure sees what is held')
  })
}
