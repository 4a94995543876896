// Jobs of every kind that run across an outage on a real orchestrator: how each prints and ends is in a table, and all of it is known by its digest.
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { ClaimId, JobId } from '../../src/protocol/id.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { printKey } from '../../src/seal/key-text.ts'
import type { FakeProcess } from './fake-executor.ts'
import { jobOf, submit } from './machine.ts'
import type { PondRig } from './pond.ts'
import type { Pool } from './pool.ts'
import { sealingPair } from './seal.ts'
import { readStream } from './seal-stream.ts'

interface Role {
  readonly job?: Partial<JobSpec>
  /** When it ends: 0 as the outage begins, 1 as it is over. */
  readonly ends: number
  readonly rc?: number
}

const reader = sealingPair('outage')
const recipients = [printKey('recipient', reader.publicKey)]
const artifacts = ['*.bin']

export const roles: Readonly<Record<string, Role>> = {
  'short job': { ends: 0.1 },
  'long job': { ends: 0.9 },
  'job that outlives it': { ends: 1.4 },
  'job that fails': { ends: 0.3, rc: 7 },
  'idempotent job': { ends: 0.5, job: { idempotent: true } },
  'job with artifacts': { ends: 0.4, job: { artifacts } },
  'sealed job': { ends: 0.6, job: { recipients } },
  'sealed job with artifacts': { ends: 0.7, job: { recipients, artifacts, idempotent: true } },
}

/** More than one chunk over the whole time, in lines that differ. */
const LINE_BYTES = 20_000
const lineOf = (name: string, at: number) => `${name} at ${at.toFixed(3)} ${'.'.repeat(LINE_BYTES)}\n`
const artifactOf = (name: string) => `made by ${name} ${'#'.repeat(300_000)}`
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')

interface Actor extends Role {
  readonly name: string
  readonly id: string
  readonly process: FakeProcess
  printed: string
}

export interface Cast {
  /** Everyone prints; those whose time has come end. */
  play(at: number): void
  /** Moves on until pond shows every job ended. */
  ended(): Promise<void>
  /** What is not as it must be, by job. */
  faults(): Promise<readonly string[]>
}

/** Submits them all and waits until they run. The pool needs a slot for each. */
export async function startCast(t: Test, rig: PondRig, pool: Pool): Promise<Cast> {
  const folder = t.testdir()
  pool.executor.onStart = ({ plan }) => {
    pool.executor.work = join(folder, plan.claimId)
    mkdirSync(pool.executor.work)
  }
  const ids = new Map<string, string>()
  for (const [name, { job }] of Object.entries(roles)) {
    const { id } = await submit(rig, { command: ['work', name], ...job })
    ids.set(name, id)
  }
  await rig.clock.until(() => pool.executor.processes.length === ids.size, 60_000)
  const actors = Object.entries(roles).map(([name, role]): Actor => {
    const id = ids.get(name) ?? ''
    const process = pool.executor.processes.find(({ plan }) => plan.jobId === id)
    if (!process) throw new Error(`${name} was not started`)
    return { ...role, name, id, process, printed: '' }
  })
  return {
    play(at) {
      for (const actor of actors.filter(({ process }) => !process.ended)) act(actor, at, folder)
    },
    ended: () => allEnded(rig, actors),
    async faults() {
      const started = pool.executor.processes.length - actors.length
      const all = await Promise.all(actors.map((actor) => faultsOf(rig, actor)))
      return [...(started === 0 ? [] : [`${started} more were started`]), ...all.flat()]
    },
  }
}

function act(actor: Actor, at: number, folder: string): void {
  const { name, process, ends, rc = 0 } = actor
  const line = lineOf(name, at)
  void process.write('stdout', line)
  actor.printed += line
  if (at < ends) return
  writeFileSync(join(folder, process.plan.claimId, 'made.bin'), artifactOf(name))
  process.exit({ rc, result: Buffer.from(JSON.stringify({ name })) })
}

/** Files of a job are read from a real disk, which no virtual clock waits for: time goes on in small steps. */
async function allEnded(rig: PondRig, actors: readonly Actor[]): Promise<void> {
  for (let waited = 0; waited < 600_000; waited += 250) {
    const jobs = await Promise.all(actors.map(({ id }) => jobOf(rig, id)))
    if (jobs.every(({ ended_at }) => ended_at !== undefined)) return
    await rig.clock.advance(250)
  }
}

async function faultsOf(rig: PondRig, { name, id, job, printed, rc = 0 }: Actor): Promise<readonly string[]> {
  const { state, rc: told, attempts, digest } = await jobOf(rig, id)
  const { items } = (await rig.call('listAttempts', { params: { id } })).reply
  const claim = items[0]?.claim_id ?? ''
  const open = (stored: Buffer, stream: string) =>
    job?.recipients ? opened({ id, claim, digest, stream }, stored) : stored
  const read = async (stream: string) => {
    const { bytes } = await rig.call('readStream', { params: { id, name: stream } })
    return open(bytes, stream)
  }
  const faults: string[] = []
  const check = (what: string, is: unknown, wanted: unknown) => {
    if (is !== wanted) faults.push(`${name}: ${what} is ${is} in place of ${wanted}`)
  }
  check('state', state, rc === 0 ? 'succeeded' : 'failed')
  check('rc', told, rc)
  check('attempts', attempts, 1)
  check('claims', items.length, 1)
  check('stdout', sha256(await read('stdout')), sha256(printed))
  if (job?.artifacts) check('artifact', sha256(await read('artifact/0')), sha256(artifactOf(name)))
  if (!job?.recipients)
    check('result', (await rig.call('getResult', { params: { id } })).bytes.toString(), JSON.stringify({ name }))
  return faults
}

interface Place {
  readonly id: string
  readonly claim: string
  readonly digest: string
  readonly stream: string
}

function opened({ id, claim, digest, stream }: Place, stored: Buffer): Buffer {
  const { bytes, ended } = readStream(stored, {
    stream: { job: id as JobId, claim: claim as ClaimId, stream },
    jobDigest: digest,
    pairs: [reader],
    trusts: () => true,
    named: (to) => to === fingerprint(reader.publicKey),
  })
  return ended ? bytes : Buffer.from('it has no end')
}
