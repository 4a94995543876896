// Our side of each comparison: `pond serve` in its own process, and the swarm of swarm-process.ts in another.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '../src/client/client.ts'
import type { Client } from '../src/client/contract.ts'
import { createNetwork } from '../src/client/network.ts'
import type { Sandbox } from '../src/protocol/field.ts'
import type { JobSpec } from '../src/protocol/job.ts'
import type { SignCall } from '../src/seal/request-signature.ts'
import { systemClock } from '../src/system/clock.ts'
import { silentLog } from '../src/system/log.ts'
import { systemRandom } from '../src/system/random.ts'
import { type Child, type ChildOptions, makeFolder, removeFolder, startChild } from './child.ts'

export interface PondRig {
  readonly url: string
  readonly pid: number
  readonly child: Child
  /** Speaks with the admin token. */
  readonly client: Client
  readonly token: string
  /** A pairing code for so many machines. */
  makeCode(uses?: number): Promise<string>
  /** With the folder kept another pond can go on in it. */
  stop(): Promise<void>
}

/** Whether what it does is to be seen. */
export type Seen = Pick<ChildOptions, 'profiled'>

/** In `folder`, which stays; without it in one of its own, which does not. */
export async function startPond(folder?: string, flags: readonly string[] = [], seen: Seen = {}): Promise<PondRig> {
  const data = folder ?? makeFolder()
  const argv = ['serve', '--data', data, '--port', '0', '--json', ...flags]
  const child = startChild('bin/pond.js', { argv, ...seen })
  const { url } = await child.hear<{ url: string }>('line')
  const token = readFileSync(join(data, 'admin-token'), 'utf8').trim()
  const network = createNetwork({ clock: systemClock })
  const client = connect(url, network.request, { token })
  return {
    url,
    pid: child.pid,
    child,
    client,
    token,
    async makeCode(uses = 1) {
      const made = await client.call('createPairingCode', { body: { project: 'default', uses } })
      if (!made.ok) throw new Error(made.error.message)
      return made.reply.code
    },
    async stop() {
      await network.close()
      await child.stop()
      if (folder === undefined) await removeFolder(data)
    },
  }
}

export function connect(
  url: string,
  network: ReturnType<typeof createNetwork>['request'],
  proof: { readonly token?: string | (() => string); readonly sign?: SignCall; readonly project?: string },
): Client {
  return createClient({
    network,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    baseUrl: url,
    version: 'bench',
    ...proof,
  })
}

export interface SwarmOrder {
  readonly slots: number
  /** `noop` ends every job at once, `timed` after `jobMs`, both without a process. */
  readonly executor: 'noop' | 'process' | 'timed'
  /** How long a timed job takes. */
  readonly jobMs?: number
  /** By default the one that holds on this machine. */
  readonly sandbox?: Sandbox
  /** Says its final words without a signature: only for a pond that lets it. */
  readonly unattested?: boolean
}

export interface SwarmRig {
  readonly child: Child
  stop(): Promise<void>
}

/** Pairs a new machine with the pond, by its own code unless one is given, and runs its swarm. */
export async function startSwarm(
  pond: PondRig,
  order: SwarmOrder,
  { code: given, ...seen }: Seen & { readonly code?: string } = {},
): Promise<SwarmRig> {
  const home = makeFolder()
  const code = given ?? (await pond.makeCode())
  const child = startChild('bench/swarm-process.js', {
    argv: [JSON.stringify({ ...order, url: pond.url, code, home })],
    program: 'bin/swarm.js',
    ...seen,
  })
  await child.hear('ready')
  return {
    child,
    async stop() {
      await child.stop()
      await removeFolder(home)
    },
  }
}

/** Submits one job or a batch, and answers the ids. */
export async function submit(
  pond: Pick<PondRig, 'client'>,
  body: JobSpec | { jobs: JobSpec[] },
): Promise<readonly string[]> {
  const answer = await pond.client.call('submitJob', { body })
  if (!answer.ok) throw new Error(answer.error.message)
  return 'items' in answer.reply ? answer.reply.items.map((job) => job.id) : [answer.reply.id]
}
