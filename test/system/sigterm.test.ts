// Stopping in good order: swarm drains, cancels, kills; pond leaves at once and comes back as fast with ten thousand live jobs.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ReadTx } from '../../server/store/contract.ts'
import { openSqliteStore } from '../../server/store/sqlite.ts'
import { claimIdOf, claimRow, jobIdOf, jobRow } from '../contract/store-row.ts'
import { createRig, until } from '../harness/process-rig.ts'

const rig = await createRig()
t.teardown(() => rig.close())
await rig.startPond()
const home = await rig.pair('sigterm', ['--slots', '1'])
const gate = join(rig.folder, 'gate')
const env = { GATE: gate }
const waits = 'until [ -e "$GATE" ]; do sleep 0.05; done'

t.test('SIGTERM drains: what runs goes on to its end, nothing new is taken', async (t) => {
  const swarm = await rig.startSwarm(home)
  const running = await rig.submit({ command: ['sh', '-c', `${waits}; echo done; exit 3`], env })
  await rig.ended(running, ({ state }) => state === 'running')
  swarm.signal('SIGTERM')
  await swarm.says(/"event":"drain"/)
  const later = await rig.submit({ command: ['true'] })
  writeFileSync(gate, '')
  t.match(await rig.ended(running), { state: 'failed', cause: 'exit', rc: 3 })
  t.strictSame(await swarm.exited, { code: 0, signal: null })
  const attempts = await rig.client.persist('listAttempts', { params: { id: later } })
  t.strictSame(attempts.ok && attempts.reply.items, [], 'the job behind it was never claimed')
  const next = await rig.startSwarm(home)
  t.match(await rig.ended(later), { state: 'succeeded' }, 'the next life takes it')
  next.signal('SIGTERM')
  t.strictSame(await next.exited, { code: 0, signal: null })
})

t.test('the second SIGTERM cancels, the third kills', async (t) => {
  const swarm = await rig.startSwarm(home)
  const said = join(rig.folder, 'said')
  const id = await rig.submit({
    command: ['sh', '-c', `trap 'echo asked >"$SAID"' TERM; echo up; while :; do sleep 0.05; done`],
    env: { SAID: said },
    retry: { on: [] },
  })
  await rig.ended(id, ({ state }) => state === 'running')
  // Running is said before the process is there; its first output tells that the trap is set.
  const up = await fetch(`${rig.url()}/v1/jobs/${id}/streams/stdout?wait_ms=30000`, { headers: bearer() })
  t.equal(await up.text(), 'up\n')
  swarm.signal('SIGTERM')
  await swarm.says(/"event":"signal.drain"/)
  swarm.signal('SIGTERM')
  await swarm.says(/"event":"signal.cancel"/)
  await until('the SIGTERM of the job', () => existsSync(said))
  swarm.signal('SIGTERM')
  t.strictSame(await swarm.exited, { code: 1, signal: null }, 'the exit code tells that jobs were killed')
  t.match(await rig.ended(id), { state: 'failed', cause: 'drained', rc: 137 })
})

t.test('pond leaves on SIGTERM with polls parked and readers waiting', async (t) => {
  const swarm = await rig.startSwarm(home)
  await until('a parked poll', async () => {
    const workers = await rig.client.persist('listWorkers')
    return workers.ok && workers.reply.items.some(({ state }) => state === 'online')
  })
  const id = await rig.submit({ command: ['sh', '-c', 'echo up; sleep 300'] })
  await rig.ended(id, ({ state }) => state === 'running')
  const follow = await fetch(`${rig.url()}/v1/jobs/${id}/streams/stdout?follow=1`, { headers: bearer() })
  const events = await fetch(`${rig.url()}/v1/events`, { headers: bearer() })
  const waiting = fetch(`${rig.url()}/v1/jobs/${id}?wait_ms=50000`, { headers: bearer() }).catch(() => undefined)
  const began = Date.now()
  rig.pond().signal('SIGTERM')
  t.strictSame(await rig.pond().exited, { code: 0, signal: null })
  const seconds = (Date.now() - began) / 1000
  t.comment(`it left after ${seconds} s`)
  t.ok(seconds < 10, 'within seconds')
  await Promise.allSettled([follow.arrayBuffer(), events.arrayBuffer(), waiting])
  await rig.startPond()
  await rig.client.persist('cancelJob', { params: { id } })
  t.match(await rig.ended(id), { state: 'cancelled' }, 'the job outlived the restart and can still be cancelled')
  await swarm.crash()
})

t.test('pond starts with 10,000 live jobs', async (t) => {
  rig.pond().signal('SIGTERM')
  await rig.pond().exited
  const counts = { live: 10_000, queued: 10_000 }
  await fill(counts)
  const began = Date.now()
  await rig.startPond()
  const seconds = (Date.now() - began) / 1000
  t.comment(`it listened after ${seconds} s (DESIGN § 9: 5 s)`)
  t.ok(seconds < 15, 'generous, for a slow machine')
  t.equal(await count('running'), counts.live)
  t.equal(await count('queued'), counts.queued)
})

const bearer = () => ({ authorization: `Bearer ${rig.token()}` })

/** Puts rows into the store of a pond that is not running, under the binding that the rig made. */
async function fill({ live, queued }: { live: number; queued: number }): Promise<void> {
  const store = openSqliteStore({
    file: join(rig.data, 'pond.db'),
    events: { fatal: (error) => t.fail(String(error)) },
  })
  const { projectId, bindingId, workerId } = await store.read(owner)
  const writes: Promise<void>[] = []
  for (let number = 1; number <= live + queued; number++) {
    const running = number <= live
    const claimId = claimIdOf(number)
    const sample = jobRow(number, { projectId })
    const state = running ? 'running' : 'queued'
    const law = { ...sample.law, state, epoch: 1, attempts: 1, ...(running ? { claimId } : {}) } as const
    const row = { ...sample, law }
    const claim = { projectId, bindingId, workerId, jobId: jobIdOf(number), epoch: 1, attempt: 1 }
    const lease = { state: 'confirmed', holdMs: 0 } as const
    writes.push(
      store.write(async (tx) => {
        await tx.insertJob(row, Buffer.from('{"command":["true"]}'))
        if (running) await tx.insertClaim(claimRow(number, { ...claim, lease }))
      }),
    )
  }
  await Promise.all(writes)
  await store.close()
}

async function owner(tx: ReadTx) {
  const [worker] = await tx.listWorkers({})
  if (!worker) throw new Error('the rig has paired a worker')
  return { projectId: worker.projectId, bindingId: worker.bindingId, workerId: worker.id }
}

async function count(state: 'running' | 'queued'): Promise<number> {
  let total = 0
  for (let cursor: string | undefined; ; ) {
    const page = await rig.client.persist('listJobs', { query: { state, limit: 1000, cursor } })
    if (!page.ok) throw new Error(page.error.message)
    total += page.reply.items.length
    if (page.reply.next === null) return total
    cursor = page.reply.next
  }
}
