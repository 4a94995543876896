// The canary: secrets in all that a person may hide, jobs that end in every way, and a search of every byte that anyone kept, sent or said.
// canary-hole.test.ts shows that it finds what is not sealed. Pond may know command, env, labels and globs: no secret is put there.
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { JobSpec } from '../../src/protocol/job.ts'
import { createCanary, searchPlaces } from '../harness/canary.ts'
import { createCanaryPool } from '../harness/canary-pool.ts'

const pool = await createCanaryPool()
const { rig } = pool
t.teardown(async () => {
  await pool.close()
  await rig.close()
})
const [mine, held, posted] = ['mine', 'held', 'posted'].map(pool.createSecrets)
if (!mine || !held || !posted) throw new Error('three names make three sets')
const canaries = [mine, held, posted].flatMap((secrets) => secrets.canaries)
/** Pond may know it, so it must be found: where it is not, nobody looked. */
const witness = createCanary('witness')

await pool.startPond()
await rig.pair(pool.places.home)
let swarm = await pool.startSwarm()
const ids: string[] = []

/** What every job of this file has in common, filled in once the first command made it known. */
let common: Partial<JobSpec> = {}
async function submit(command: JobSpec['command'], spec: Partial<JobSpec> = {}): Promise<string> {
  const id = await rig.submit({ ...common, ...spec, command })
  ids.push(id)
  return id
}
async function byCommand(words: readonly string[], job: readonly string[]): Promise<string> {
  const { id } = JSON.parse(await pool.pond(['submit', '--json', ...words, '--', ...job]))
  ids.push(id)
  return id
}
const running = (list: readonly string[]) => Promise.all(list.map(pool.speaks))
const ended = (list: readonly string[]) => Promise.all(list.map((id) => rig.ended(id)))
const endOf = async (id: string) => {
  const { state, cause, rc } = await rig.ended(id)
  return `${state} ${cause} ${rc ?? '-'}`
}
const eight = Array.from({ length: 8 }, (_, index) => index)

t.test('a person puts secrets away', async () => {
  const words = (name: string, { files }: { readonly files: readonly string[] }) => {
    return ['credential', 'set', name, '--key', 'VALUE', ...files.flatMap((file) => ['--from-file', file])]
  }
  await pool.pond(words('mine', mine), { input: mine.value })
  await pool.pond(['trust', 'worker', 'rig', '--yes'])
  await pool.pond([...words('held', held), '--seal-to', 'rig'], { input: held.value })
})

t.test('jobs end in every way', async (t) => {
  const first = await byCommand(['--bundle', mine.bundle, '--artifact', 'out/**'], ['sh', 'say.sh', 'ends'])
  t.equal(await endOf(first), 'succeeded exit 0')
  const job = await rig.ended(first)
  if (!job.bundle) throw new Error('the job names no bundle')
  const labels = { witness: witness.value }
  common = { bundle: job.bundle, recipients: job.recipients, artifacts: ['out/**'], labels, retry: { on: [] } }
  const say = (how: string, spec: Partial<JobSpec> = {}) => submit(['sh', 'say.sh', how], spec)
  const again = { on: ['exit'], attempts: 2, backoff_ms: 10 } satisfies JobSpec['retry']
  const ends: readonly (readonly [string, () => Promise<string>])[] = [
    ['succeeded exit 0', () => say('ends')],
    ['failed exit 3', () => say('fails')],
    ['failed exit 127', () => say('misses')],
    ['failed signal 139', () => say('dies')],
    ['failed timeout 143', () => say('hangs', { timeout_ms: 500 })],
    ['failed setup_failed 125', () => submit(['./not-there'])],
    ['succeeded exit 0', () => say('garbles')],
    ['succeeded exit 0', () => say('repeats', { retry: again })],
    ['succeeded exit 0', () => say('floods', { limits: { stream_bytes: 1500 } })],
    ['succeeded exit 0', () => say('ends', { limits: { artifact_bytes: 64 } })],
  ]
  const list = [...ends, ...ends].map(async ([end, start]) => t.equal(await endOf(await start()), end, `${start}`))
  await Promise.all(list)
  const hanging = await Promise.all([1, 2, 3].map(() => say('hangs')))
  await running(hanging)
  for (const id of hanging.slice(1)) await rig.client.persist('cancelJob', { params: { id } })
  await pool.pond(['cancel', hanging[0] ?? ''])
  for (const id of hanging) t.equal(await endOf(id), 'cancelled cancelled 143')
})

t.test('jobs print their credential by accident, sealed and plain', async (t) => {
  const { recipients, ...plain } = common
  const leak = ['python3', 'leak.py'] as const
  const list = [
    await submit([...leak], { credential: 'mine' }),
    await rig.submit({ ...plain, command: [...leak], credential: 'mine' }),
    await byCommand(['--bundle', mine.bundle, '--credential', 'held', '--artifact', 'out/**'], leak),
    await byCommand(['--plain', '--bundle', mine.bundle, '--credential', 'held', '--artifact', 'out/**'], leak),
  ]
  for (const id of list) t.equal(await endOf(id), 'failed exit 4')
  ids.push(list[1] ?? '')
  t.match(await pool.read(['logs', list[1] ?? '']), /\[redacted\]/, 'the secrets were there')
})

t.test('a plain tar is posted to pond, which seals it while it comes', async (t) => {
  const digest = await pool.postTar(posted)
  for (const id of await Promise.all([1, 2].map(() => submit(['sh', 'say.sh', 'ends'], { bundle: digest }))))
    t.equal(await endOf(id), 'succeeded exit 0')
})

t.test('swarm is killed while jobs run', async (t) => {
  const gate = join(rig.folder, 'gate-swarm')
  const list = await Promise.all(
    eight.map((index) =>
      submit(
        ['sh', 'say.sh', 'waits', gate],
        index % 2 ? { idempotent: true, on_lost: 'rerun', credential: 'mine' } : {},
      ),
    ),
  )
  await running(list)
  await swarm.crash()
  const left = new Set((await pool.search(canaries)).map(({ place }) => place))
  t.strictSame(
    [...left],
    ['boxes'],
    'only the folders of its jobs hold what they had, until its next life removes them',
  )
  swarm = await pool.startSwarm()
  writeFileSync(gate, '')
  const states = (await ended(list)).map(({ state, cause }) => `${state} ${cause}`)
  t.strictSame([...new Set(states)].sort(), ['failed worker_lost', 'succeeded exit'])
})

t.test('pond is killed, and dumped, while jobs run', async (t) => {
  for (const name of ['SIGKILL', 'SIGABRT'] as const) {
    const gate = join(rig.folder, `gate-${name}`)
    const list = await Promise.all(eight.map(() => submit(['sh', 'say.sh', 'waits', gate], { credential: 'mine' })))
    await running(list)
    rig.pond().signal(name)
    await rig.pond().exited
    // The life that is dumped is not the one that was sent the plain tar: who seals it has it in memory.
    await pool.startPond(pool.dumping)
    writeFileSync(gate, '')
    for (const { state } of await ended(list)) t.equal(state, 'succeeded')
  }
  t.ok(ids.length >= 50, `${ids.length} jobs`)
})

t.test('who may read all of it does', async (t) => {
  const opened = [await pool.read(['logs', ids[0] ?? '']), await pool.read(['result', ids[0] ?? ''])].join('\n')
  await pool.read(['artifacts', 'get', ids[0] ?? '', '--out', pool.opened])
  writeFileSync(join(pool.opened, 'logs'), opened)
  const hits = await searchPlaces(canaries, [pool.opened])
  const names = hits.map(({ canary }) => canary)
  t.strictSame([...new Set(names)].sort(), ['content', 'error', 'name', 'output', 'result'])
  t.match(await pool.pond(['verify', ids[0] ?? '']), /proved/)
})

t.test('nobody else has a byte of it', async (t) => {
  swarm.signal('SIGTERM')
  t.match(await swarm.exited, { code: 0 })
  t.strictSame((await pool.search(canaries)).slice(0, 20), [], 'while pond is up')
  rig.pond().signal('SIGTERM')
  await rig.pond().exited
  await pool.close()
  t.strictSame((await pool.search(canaries)).slice(0, 20), [], 'after the end')
  t.strictSame(await pool.searchOutside(canaries), [], 'elsewhere on this machine')
  const places = new Set((await pool.search([witness])).map(({ place }) => place))
  t.ok(places.has('data') && places.has('wire'), `what pond may know was found in ${[...places].join(', ')}`)
  if (readdirSync(pool.places.dump).length > 0) t.ok(places.has('dump'), 'and in its core dump')
  else t.comment('this machine writes no core dump into the folder of the process, so none was searched')
})
