// A Graphile Worker in its own process, with its own defaults. Plain JavaScript, because its package is installed only for this comparison.
import { Logger, run } from 'graphile-worker'
import pg from 'pg'

const { url, slots } = JSON.parse(process.argv[2] ?? '')
/** It says that a job is complete before the database has heard of it; an empty table is what the others call done. */
const LOOK_MS = 2
let expected = Number.POSITIVE_INFINITY
let count = 0
const pool = new pg.Pool({ connectionString: url, max: 1 })

async function check() {
  if (count < expected) return
  expected = Number.POSITIVE_INFINITY
  for (;;) {
    const { rows } = await pool.query('select 1 from graphile_worker._private_jobs limit 1')
    if (rows.length === 0) break
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  process.send({ type: 'done' })
}

process.on('message', (message) => {
  expected = message.expect
  count = 0
  void check()
})
process.once('SIGTERM', () => process.exit(0))
await run({
  connectionString: url,
  concurrency: slots,
  // A connection for each, as its manual asks for, and one that listens.
  maxPoolSize: slots + 1,
  noHandleSignals: true,
  logger: new Logger(() => () => {}),
  taskList: {
    async job() {
      count++
      void check()
    },
  },
})
process.send({ type: 'ready' })
