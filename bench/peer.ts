// What the benches compare with, and BullMQ on Redis with appendfsync always. Servers come from apt, packages from npm into bench/peers, both only when asked for.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { freePort, makeFolder, ownChild, removeFolder, source, startChild } from './child.ts'
import { note } from './figure.ts'
import type { SwarmOrder } from './pond-rig.ts'
import { installPostgres } from './postgres.ts'
import type { Sides } from './throughput.ts'

export const BULLMQ = 'BullMQ, appendfsync always'

export const peerFolder = fileURLToPath(new URL('bench/peers/', source))

/** The part of BullMQ that fills a queue; its package is not there when this is compiled. */
interface Bullmq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    addBulk(jobs: readonly { readonly name: string; readonly data: object }[]): Promise<unknown>
    close(): Promise<void>
  }
}

/** Installs what is missing. */
export function installPeers(): void {
  installPostgres()
  if (!existsSync('/usr/bin/redis-server')) {
    note('installing redis-server')
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], { stdio: 'ignore' })
  }
  if (['bullmq', 'graphile-worker'].every((name) => existsSync(`${peerFolder}node_modules/${name}`))) return
  note('installing the packages of the peers')
  const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']
  execFileSync('npm', ['install', ...quietly], { cwd: peerFolder, stdio: 'ignore' })
}

/** A queue on a Redis of its own, and a worker process. */
export async function startBullmq(order: SwarmOrder): Promise<Sides & { stop(): Promise<void> }> {
  const data = makeFolder()
  const port = await freePort()
  const settings = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--dir', data]
  const redis = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(port), ...settings], { stdio: 'ignore' })
  ownChild(redis)
  await listens(port)
  // By require, since BullMQ finds its Redis client by require alone.
  const { Queue } = createRequire(peerFolder)('bullmq') as Bullmq
  const queue = new Queue('bench', { connection: { host: '127.0.0.1', port } })
  const worker = startChild(`file://${peerFolder}bullmq-worker.mjs`, { argv: [JSON.stringify({ ...order, port })] })
  await worker.hear('ready')
  const ended = new Promise((resolve) => redis.once('exit', resolve))
  return {
    server: { pid: redis.pid ?? 0 },
    worker,
    submit: (jobs) => queue.addBulk(jobs.map((command) => ({ name: 'job', data: { command } }))),
    async stop() {
      await worker.stop()
      await queue.close()
      redis.kill('SIGTERM')
      await ended
      await removeFolder(data)
    },
  }
}

async function listens(port: number): Promise<void> {
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
