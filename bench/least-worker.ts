// The worker of the least server: each slot polls, spawns, and says that the job has ended, one after the other.
import { spawn } from 'node:child_process'
import { Agent, request } from 'undici'
import { createTally, now, tell } from './worker-report.ts'

const { url, slots, executor } = JSON.parse(process.argv[2] ?? '') as {
  url: string
  slots: number
  executor: 'noop' | 'process'
}
const agent = new Agent({ connections: slots, headersTimeout: 0, bodyTimeout: 0 })
const tally = createTally()

async function call(path: string, body: object): Promise<unknown> {
  const reply = await request(url + path, { dispatcher: agent, method: 'POST', body: JSON.stringify(body) })
  return reply.body.json()
}

function run(job: string, [file = '', ...args]: readonly string[]): Promise<number> {
  const got = now()
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  tally.started(job, got)
  child.stdout.on('data', (bytes: Buffer) => tally.wrote(job, bytes))
  child.stderr.resume()
  return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 0)))
}

async function work(): Promise<void> {
  for (;;) {
    const { id, command } = (await call('/poll', {})) as { id: string; command: readonly string[] }
    const rc = executor === 'noop' ? 0 : await run(id, command)
    await call('/finish', { id, rc })
    tally.done()
  }
}

process.once('SIGTERM', () => process.exit(0))
for (let slot = 0; slot < slots; slot++) void work()
tell({ type: 'ready' })
