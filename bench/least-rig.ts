// The other side of each comparison: the least server and its worker, each in its own process.
import { Agent, request } from 'undici'
import { type Child, startChild } from './child.ts'
import type { Seen, SwarmOrder } from './pond-rig.ts'

export interface LeastServer {
  readonly url: string
  readonly pid: number
  readonly child: Child
  submit(commands: readonly (readonly string[])[]): Promise<readonly string[]>
  stop(): Promise<void>
}

export async function startLeastServer(seen: Seen = {}): Promise<LeastServer> {
  const child = startChild('bench/least-server.js', seen)
  const { url } = await child.hear<{ url: string }>('ready')
  const agent = new Agent()
  return {
    url,
    pid: child.pid,
    child,
    async submit(jobs) {
      const body = JSON.stringify({ jobs })
      const reply = await request(`${url}/submit`, { dispatcher: agent, method: 'POST', body })
      return (await reply.body.json()) as string[]
    },
    async stop() {
      await agent.destroy()
      await child.stop()
    },
  }
}

export async function startLeastWorker(server: LeastServer, order: SwarmOrder, seen: Seen = {}): Promise<Child> {
  const argv = [JSON.stringify({ ...order, url: server.url })]
  const child = startChild('bench/least-worker.js', { argv, ...seen })
  await child.hear('ready')
  return child
}
