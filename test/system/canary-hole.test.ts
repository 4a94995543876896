// The test of the canary: with one seal taken out on purpose, the same search finds what that seal had hidden, and where.
import t, { type Test } from 'tap'
import { createCanaryPool, type Places, type Secrets } from '../harness/canary-pool.ts'
import type { ProgramOptions } from '../harness/process-rig.ts'

const pool = await createCanaryPool()
const { rig } = pool
t.teardown(async () => {
  await pool.close()
  await rig.close()
})
await pool.startPond()
await rig.pair(pool.places.home)
let swarm = await pool.startSwarm()

const withHole = (hole: string): ProgramOptions => ({
  env: { HOLE: hole, NODE_OPTIONS: `--import=${new URL('fixture/hole.mjs', import.meta.url)}` },
})

interface Leak {
  readonly names: readonly string[]
  readonly places?: readonly (keyof Places)[]
}

/** Each of the places holds each of the named canaries; what is said in the clear may lie elsewhere too. */
async function checkFound(t: Test, { canaries }: Secrets, { names, places = ['data', 'wire'] }: Leak): Promise<void> {
  const hits = await pool.search(canaries)
  const found = new Set(hits.map(({ place, canary }) => `${place}: ${canary}`))
  const wanted = places.flatMap((place) => names.map((name) => `${place}: ${name}`))
  const missed = wanted.filter((it) => !found.has(it))
  t.strictSame(missed, [], `found ${[...found].sort().join(', ')}`)
}

async function run(words: readonly string[], command: readonly string[], options?: ProgramOptions): Promise<void> {
  const { id } = JSON.parse(await pool.pond(['submit', '--json', ...words, '--', ...command], options))
  await rig.ended(id)
}
const say = (secrets: Secrets, words: readonly string[] = []) =>
  run([...words, '--bundle', secrets.bundle, '--artifact', 'out/**'], ['sh', 'say.sh', 'ends'])
const setCredential = (name: string, { value, files }: Secrets, options?: ProgramOptions) => {
  const words = ['--key', 'VALUE', ...files.flatMap((file) => ['--from-file', file])]
  return pool.pond(['credential', 'set', name, ...words], { ...options, input: value })
}
const credential = ['first', 'second', 'token', 'value']
const bundle = ['command', 'content', 'error', 'event', 'garbage', 'name', 'output', 'result']

t.test('all seals in place: nothing', async (t) => {
  const secrets = pool.createSecrets('sealed')
  await setCredential('sealed', secrets)
  await say(secrets, ['--credential', 'sealed'])
  t.strictSame(await pool.search(secrets.canaries), [])
})

t.test('--plain: pond has what the job said', async (t) => {
  const secrets = pool.createSecrets('plain')
  await say(secrets, ['--plain'])
  await checkFound(t, secrets, { names: ['content', 'error', 'event', 'name', 'output', 'result'] })
})

t.test('a secret among the words of a command: pond has it, and every process sees it', async (t) => {
  const secrets = pool.createSecrets('words')
  await run([], ['sh', '-c', 'sleep 0.3', secrets.value])
  await checkFound(t, secrets, { names: ['value'], places: ['argv', 'data', 'said', 'wire'] })
})

const swarmHoles: Readonly<Record<string, readonly string[]>> = {
  output: ['content', 'error', 'output'],
  ending: ['name', 'result'],
  event: ['event'],
}
for (const [hole, names] of Object.entries(swarmHoles)) {
  t.test(`a swarm that does not seal: ${hole}`, async (t) => {
    await swarm.crash()
    swarm = await pool.startSwarm(withHole(hole))
    const secrets = pool.createSecrets(hole)
    await say(secrets)
    await checkFound(t, secrets, { names, places: ['wire'] })
  })
}

t.test('a swarm that redacts nothing', async (t) => {
  await swarm.crash()
  swarm = await pool.startSwarm(withHole('redaction'))
  const secrets = pool.createSecrets('redaction')
  await setCredential('redaction', secrets)
  await run(
    ['--plain', '--credential', 'redaction', '--bundle', secrets.bundle, '--artifact', 'out/**'],
    ['python3', 'leak.py'],
  )
  await checkFound(t, secrets, { names: credential })
})

t.test('a command whose frames are not sealed', async (t) => {
  const secrets = pool.createSecrets('frame')
  await setCredential('frame', secrets, withHole('frame'))
  await checkFound(t, secrets, { names: credential })
  await pool.pond(['submit', '--bundle', secrets.bundle, '--', 'true'], withHole('frame'))
  await checkFound(t, secrets, { names: [...credential, ...bundle] })
})

t.test('a pond that does not seal the tar that it is sent', async (t) => {
  await rig.pond().crash()
  await pool.startPond(withHole('frame'))
  const secrets = pool.createSecrets('tar')
  await pool.postTar(secrets)
  await checkFound(t, secrets, { names: bundle, places: ['data'] })
  await rig.pond().crash()
  await pool.startPond()
})

t.test('a swarm that dies leaves the folders of its jobs', async (t) => {
  await swarm.crash()
  swarm = await pool.startSwarm()
  const secrets = pool.createSecrets('left')
  const words = ['--bundle', secrets.bundle, '--', 'sh', 'say.sh', 'hangs']
  const { id } = JSON.parse(await pool.pond(['submit', '--json', ...words]))
  await pool.speaks(id)
  await swarm.crash()
  await checkFound(t, secrets, { names: bundle, places: ['boxes'] })
})
