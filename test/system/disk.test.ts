// Full and failing disks under real processes: what is refused, what still fits, and that all goes on once there is room again.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Binding, KeySet } from '../../src/orchestrator/home.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallSigner } from '../../src/seal/request-signature.ts'
import { createRig, runProgram, until } from '../harness/process-rig.ts'
import { mountSmallDisk, type SmallDisk } from '../harness/small-disk.ts'

const MiB = 1024 * 1024

function mountSmall(t: Test, bytes: number): SmallDisk {
  const disk = mountSmallDisk(bytes)
  t.teardown(() => disk.close())
  return disk
}

t.test('pond below its reserve refuses what is new, and ends what runs', async (t) => {
  const small = mountSmall(t, 64 * MiB)
  const rig = await createRig({ data: join(small.folder, 'pond') })
  t.teardown(() => rig.close())
  await rig.startPond({ flags: ['--reserve', '16M'] })
  const home = await rig.pair('full', ['--slots', '2'])
  const swarm = await rig.startSwarm(home)
  const gate = join(rig.folder, 'gate')
  const waits = 'until [ -e "$GATE" ]; do sleep 0.05; done'
  const printing = await rig.submit({ command: ['sh', '-c', `${waits}; seq 20000`], env: { GATE: gate } })
  const silent = await rig.submit({ command: ['sh', '-c', 'sleep 300'] })
  for (const id of [printing, silent]) await rig.ended(id, ({ state }) => state === 'running')

  const free = small.fill(8 * MiB)
  const refused = await until('a refused submit', async () => {
    const answer = await rig.client.call('submitJob', { body: { command: ['true'] } })
    return !answer.ok && answer.error
  })
  t.match(refused, { status: 507, code: 'disk_full', retry: 'later' }, 'a submit')
  t.match(await sendChunk(home, printing), { status: 507, code: 'disk_full' }, 'a chunk')
  writeFileSync(gate, '')
  t.ok((await rig.client.call('cancelJob', { params: { id: silent } })).ok, 'a cancel fits')
  t.match(await rig.ended(silent), { state: 'cancelled' }, 'and so does the final word')

  free()
  const freeAll = small.fill(0)
  const full = await rig.client.call('submitJob', { body: { command: ['true'] } })
  t.match(full, { ok: false, error: { status: 507 } }, 'with no byte left')
  t.equal((await fetch(`${rig.url()}/healthz`)).status, 200, 'pond stays')
  freeAll()

  t.match(await rig.ended(printing), { state: 'succeeded' }, 'with room again the output arrives')
  const logs = await runProgram('pond', ['logs', printing], { env: rig.env() })
  t.equal(logs.stdout, execFileSync('seq', ['20000']).toString(), 'every byte of it')
  t.match(await rig.ended(await rig.submit({ command: ['true'] })), { state: 'succeeded' }, 'and new jobs are taken')
  swarm.signal('SIGTERM')
  t.strictSame(await swarm.exited, { code: 0, signal: null })
})

/** A chunk as swarm sends it, with what its home tells. */
async function sendChunk(home: string, jobId: string): Promise<{ status: number; code: string }> {
  const { pond, token, pond_key } = JSON.parse(readFileSync(join(home, 'binding.json'), 'utf8')) as Binding
  const keys = JSON.parse(readFileSync(join(home, 'keys.json'), 'utf8')) as KeySet
  const lines = readFileSync(join(home, 'journal'), 'utf8').trim().split('\n')
  const claim = lines.map((line) => JSON.parse(line)).find((line) => line.step === 'claim' && line.job_id === jobId)
  const call = {
    method: 'POST',
    path: `/orch/jobs/${jobId}/chunk`,
    search: `?claim=${claim.claim_id}&stream=stderr&offset=0&at=0&order=0`,
    headers: { 'x-claim-token': claim.claim_token },
    body: Buffer.from('some bytes'),
  }
  const sign = createCallSigner(keys.binding, hashPondKey(pond_key))
  const own = sign(call, { createdMs: Date.now(), nonce: Buffer.alloc(16) })
  const kind = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
  const reply = await fetch(pond + call.path + call.search, { ...call, headers: { ...call.headers, ...kind, ...own } })
  const { error } = (await reply.json()) as { error?: { code: string } }
  return { status: reply.status, code: error?.code ?? 'none' }
}

t.test('a full disk under swarm ends the job that filled it, and leaves nothing half-done', async (t) => {
  const small = mountSmall(t, 24 * MiB)
  const rig = await createRig()
  t.teardown(() => rig.close())
  await rig.startPond()
  const home = await rig.pair(join(small.folder, 'swarm'), ['--slots', '1'])
  const swarm = await rig.startSwarm(home)
  const flood = await rig.submit({ command: ['sh', '-c', 'head -c 40M /dev/urandom >"$HOME/own" ; cat /dev/urandom'] })
  t.match(await rig.ended(flood), { state: 'failed', cause: 'disk_full' })
  await until('an empty folder of jobs', () => readdirSync(join(home, 'jobs')).length === 0)

  const free = small.fill(0)
  const early = await rig.submit({ command: ['echo', 'hello'] })
  const fate = await until('what becomes of a job now', async () => {
    const [job, workers] = await Promise.all([
      rig.client.call('getJob', { params: { id: early } }),
      rig.client.call('listWorkers'),
    ])
    if (job.ok && job.reply.cause !== undefined) return job.reply.cause
    if (swarm.stderr().includes('"event":"claim_declined"')) return 'declined'
    return workers.ok && /disk/.test(workers.reply.items[0]?.note ?? '') && 'not taken'
  })
  t.match(fate, /^(disk_full|declined|not taken)$/, fate)
  free()
  swarm.signal('SIGTERM')
  t.strictSame(await swarm.exited, { code: 0, signal: null })
  await rig.startSwarm(home)
  t.match(await rig.ended(await rig.submit({ command: ['echo', 'hello'] })), { state: 'succeeded' })
})

t.test('a swarm without room gets no claim, says why, and takes jobs again by itself', async (t) => {
  const small = mountSmall(t, 24 * MiB)
  const rig = await createRig()
  t.teardown(() => rig.close())
  await rig.startPond({ flags: ['--poll-hold', '2s'] })
  const swarm = await rig.startSwarm(await rig.pair(join(small.folder, 'swarm'), ['--slots', '1']))
  const seen = async () => {
    const { code, stdout } = await runProgram('pond', ['workers', '--json'], { env: rig.env() })
    t.equal(code, 0)
    const worker = JSON.parse(stdout) as { readonly note?: string; readonly last_poll_at?: number }
    return { note: '', last_poll_at: 0, ...worker }
  }
  const free = small.fill(0)
  const { note, last_poll_at } = await until('what pond hears of it', async () => {
    const worker = await seen()
    return worker.note !== '' && worker
  })
  t.match(note, /disk/)
  const waits = await rig.submit({ command: ['echo', 'hello'] })
  await until('two polls more', async () => (await seen()).last_poll_at > last_poll_at + 4000)
  t.match(await rig.client.call('getJob', { params: { id: waits } }), { reply: { state: 'queued', attempts: 0 } })
  free()
  t.match(await rig.ended(waits), { state: 'succeeded' })
  const moves = await rig.client.call('listTransitions', { params: { id: waits } })
  const all = ['queued', 'claimed', 'running', 'succeeded'].map((to) => ({ to }))
  t.match(moves, { reply: { items: all } }, 'nobody declined it')
  if (moves.ok) t.equal((moves.reply as { readonly items: readonly unknown[] }).items.length, all.length)
  t.equal((await seen()).note, '', 'and nothing is said any more')
  swarm.signal('SIGTERM')
  t.strictSame(await swarm.exited, { code: 0, signal: null }, 'the very same process')
})

/** Past the start of a fresh pond and its pairing, in the middle of jobs. */
const faults = [
  { what: 'the database', call: 'fsync', when: 60 },
  { what: 'a stream', call: 'fdatasync', when: 5 },
]

for (const { what, call, when } of faults) {
  t.test(`an fsync of ${what} fails: pond leaves, and its next life has all that was acknowledged`, async (t) => {
    const rig = await createRig()
    t.teardown(() => rig.close())
    const trace = join(rig.folder, 'trace')
    const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=${when}`]
    const first = await rig.startPond({ under: ['strace', '-f', '-qq', '-o', trace, ...inject] })
    await rig.startSwarm(await rig.pair('failing', ['--slots', '2']))
    const acknowledged: string[] = []
    let over = false
    const submits = (async () => {
      while (!over) acknowledged.push(await rig.submit({ command: ['echo', 'hello'] }))
    })()
    const { code } = await first.exited
    t.match(readFileSync(trace, 'utf8'), /EIO .*\(INJECTED\)/, 'the fault fired')
    t.ok(code !== 0 && code !== null, `pond ended with ${code}`)
    t.match(first.stderr(), /could not be sure that its data is safe","why":"[^"]+","next":"[^"]*start pond again/)
    t.notMatch(first.stderr(), /^\s+at /m, 'no stack')
    await rig.startPond()
    over = true
    await submits
    t.ok(acknowledged.length > 0, `${acknowledged.length} acknowledged`)
    const wrong: string[] = []
    for (const id of acknowledged) {
      const { state } = await rig.ended(id)
      const path = `${rig.url()}/v1/jobs/${id}/streams/stdout?follow=1`
      const reply = await fetch(path, { headers: { authorization: `Bearer ${rig.token()}` } })
      const text = await reply.text()
      if (state !== 'succeeded' || text !== 'hello\n') wrong.push(`${id} ${state} ${text}`)
    }
    t.strictSame(wrong, [], 'each ended well with all of its output')
  })
}
