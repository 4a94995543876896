// A BullMQ worker in its own process. Plain JavaScript, because its package is installed only for this comparison.
import { spawn } from 'node:child_process'
import { Worker } from 'bullmq'

const { port, slots, executor } = JSON.parse(process.argv[2] ?? '')
let expected = Number.POSITIVE_INFINITY
let count = 0
/** Whether each start is told, in the words of worker-report.ts. */
let starts = false
const now = () => String(process.hrtime.bigint())
const check = () => {
  if (count < expected) return
  expected = Number.POSITIVE_INFINITY
  process.send({ type: 'done' })
}

async function run({ id, data: { command } }) {
  if (executor === 'noop') return 0
  const got = now()
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  if (starts) process.send({ type: 'started', job: id, got, at: now() })
  child.stdout.on('data', (bytes) => starts && process.send({ type: 'wrote', job: id, text: bytes.toString() }))
  child.stderr.resume()
  return new Promise((resolve) => child.once('close', resolve))
}

const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
const worker = new Worker('bench', run, { connection, concurrency: slots })
// Emitted when Redis has answered, and with appendfsync always it answers after the sync.
worker.on('completed', () => {
  count++
  check()
})
process.on('message', (message) => {
  starts = message.starts ?? starts
  if (message.expect === undefined) return
  expected = message.expect
  count = 0
  check()
})
process.once('SIGTERM', () => process.exit(0))
await worker.waitUntilReady()
process.send({ type: 'ready' })
