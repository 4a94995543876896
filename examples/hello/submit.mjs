// Submits one job with the package's own client, waits for its end and prints its output.
import { readFile } from 'node:fs/promises'
import { createClient, createNetwork, silentLog, systemClock, systemRandom } from 'pond-swarm'

const [baseUrl = 'http://127.0.0.1:7460'] = process.argv.slice(2)
const token = (await readFile(process.env.POND_TOKEN_FILE, 'utf8')).trim()
const network = createNetwork({ clock: systemClock })
const client = createClient({
  network: network.request,
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  baseUrl,
  token,
  version: 'hello',
})

function need(answer) {
  if (answer.ok) return answer
  throw new Error(`${answer.error.message} (${answer.error.help})`)
}

const made = need(
  await client.persist('submitJob', {
    body: { command: ['sh', '-c', 'echo hello from a program'] },
    idempotencyKey: crypto.randomUUID(),
  }),
)
const params = { id: made.reply.id }
const { reply: job } = need(await client.persist('getJob', { params, query: { wait_ms: 30_000 } }))
const output = need(await client.open('readStream', { params: { ...params, name: 'stdout' } }))
for await (const bytes of output.body) process.stdout.write(bytes)
console.log(`${job.id} ${job.state}`)
await network.close()
