// The journal: what a restarted swarm reads, after kill -9, after a power cut, and after lines that broke.
import t from 'tap'
import { openJournal } from '../../src/orchestrator/journal.ts'
import type { Entry } from '../../src/orchestrator/journal-entry.ts'
import type { ClaimId, JobId } from '../../src/protocol/id.ts'
import { silentLog } from '../../src/system/log.ts'
import { fakeWorkerId } from '../harness/fake-pond-client.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const claimId = (number: number) => `clm_${String(number).padStart(26, '0')}` as ClaimId
const jobId = (number: number) => `job_${String(number).padStart(26, '0')}` as JobId

const claimLine = (number: number): Entry => ({
  step: 'claim',
  claim_id: claimId(number),
  job_id: jobId(number),
  claim_token: 'pond_claim_x',
  worker_id: fakeWorkerId,
  attempt: 1,
  epoch: 1,
  job_digest: '0'.repeat(64),
  stream_bytes: 100,
  artifact_bytes: 100,
})
const trace = { claimId: claimId(1), jobId: jobId(1), attempt: 1, pid: 7, startTime: 'b 8', cgroups: ['/c'] }
const ending = { cause: 'exit' as const, rc: 0, ended_at: 9 }
const word = { state: 'final' as const, claim_id: claimId(1), job_id: jobId(1), claim_token: 'pond_claim_x', ...ending }

async function setUp() {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  await disk.makeFolder('/h')
  const open = () => openJournal({ disk, clock, log: silentLog, path: '/h/journal' })
  return { clock, disk, open }
}

t.test('each step is read again after kill -9', async (t) => {
  const steps: [Entry, object | undefined][] = [
    [claimLine(1), { claim: { claim_id: claimId(1), attempt: 1 } }],
    [{ step: 'started', claim_id: claimId(1), trace, at: 5 }, { started: { trace, at: 5 } }],
    [
      { step: 'ended', claim_id: claimId(1), ending, spooled: { stdout: { kept: 3, left_out: 0 } } },
      { ended: { ending, spooled: { stdout: { kept: 3, left_out: 0 } } } },
    ],
    [{ step: 'final', claim_id: claimId(1), word }, { final: word }],
    [{ step: 'gone', claim_id: claimId(1) }, undefined],
  ]
  for (const [index, [, seen]] of steps.entries()) {
    const { open } = await setUp()
    const journal = await open()
    for (const [entry] of steps.slice(0, index + 1)) t.ok(await journal.write(entry))
    t.match((await open()).left, seen ? [seen] : [])
    t.match((await open()).left, seen ? [seen] : [], 'and again from the log that the restart wrote')
  }
})

t.test('a journal whose last sync fails leaves its file to the next life', async (t) => {
  const { clock, disk, open } = await setUp()
  const former = await open()
  await former.write(claimLine(1))
  disk.fault = (operation, path) => (operation === 'sync' && path === '/h/journal' ? new Error('EIO') : undefined)
  await former.close()
  disk.fault = () => undefined
  t.equal(clock.pending(), 0)
  const next = await open()
  t.match(next.left, [{ claim: { claim_id: claimId(1) } }])
  await next.write({ step: 'gone', claim_id: claimId(1) })
  await next.write(claimLine(2), true)
  await clock.advance(60_000)
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(2)],
  )
})

t.test('a shorter log whose name is in doubt takes no lines: it is written again', async (t) => {
  const { clock, disk, open } = await setUp()
  const journal = await open()
  const long = { ...word, result: 'x'.repeat(900_000) }
  await journal.write(claimLine(1))
  for (let times = 0; times < 4; times++) await journal.write({ step: 'final', claim_id: claimId(1), word: long })
  await journal.write({ step: 'gone', claim_id: claimId(1) })
  disk.fault = (operation) => (operation === 'syncFolder' ? new Error('EIO') : undefined)
  for (let times = 0; times < 2; times++) await journal.write({ step: 'final', claim_id: claimId(1), word: long })
  t.equal(await journal.write(claimLine(2), true), false)
  disk.fault = () => undefined
  t.ok(await journal.write(claimLine(3), true))
  await clock.advance(60_000)
  disk.powerCut()
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(2), claimId(3)],
  )
})

t.test('a durable line survives a power cut; any other does a second later', async (t) => {
  const { clock, disk, open } = await setUp()
  const journal = await open()
  t.ok(await journal.write(claimLine(1), true))
  await journal.write(claimLine(2))
  disk.powerCut()
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(1)],
  )
  const again = await open()
  await again.write(claimLine(3))
  await clock.advance(1000)
  disk.powerCut()
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(1), claimId(3)],
  )
})

t.test('lines of one tick are one append, and one sync serves all that wait for it', async (t) => {
  const { disk, open } = await setUp()
  const journal = await open()
  const before = { ...disk.counts }
  await Promise.all([1, 2, 3, 4].map((number) => journal.write(claimLine(number), true)))
  t.equal(disk.counts.append - before.append, 1)
  t.equal(disk.counts.sync - before.sync, 1)
})

t.test('a line that broke off swallows no other, and is written anew', async (t) => {
  const { disk, open } = await setUp()
  const journal = await open()
  await journal.write(claimLine(1))
  disk.roomBytes = 20
  t.notOk(await journal.write(claimLine(2)), 'told, not thrown')
  disk.roomBytes = 1e9
  t.ok(await journal.write(claimLine(3)))
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(1), claimId(2), claimId(3)],
    'what was not taken then is taken now',
  )
})

t.test('a failed sync is told to the one who waits', async (t) => {
  const { disk, open } = await setUp()
  const journal = await open()
  disk.fault = (operation) => (operation === 'sync' ? new Error('EIO') : undefined)
  t.notOk(await journal.write(claimLine(1), true))
  disk.fault = () => undefined
  t.ok(await journal.write(claimLine(2), true))
})

t.test('damaged lines and lines of another version are passed over', async (t) => {
  const { disk, open } = await setUp()
  await disk.replace('/h/journal', `\0\0{"step":\n{"step":"later"}\n${JSON.stringify(claimLine(4))}\n{"step":"go`)
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(4)],
  )
})

t.test('claims that are gone do not make the log grow without end', async (t) => {
  const { disk, open } = await setUp()
  const journal = await open()
  await journal.write(claimLine(0))
  for (let number = 1; number < 40_000; number++) {
    void journal.write(claimLine(number))
    const gone = journal.write({ step: 'gone', claim_id: claimId(number) })
    if (number % 500 === 0) await gone
  }
  await journal.write(claimLine(40_000))
  await journal.close()
  t.ok(((await disk.read('/h/journal'))?.length ?? 0) < 5 * 1024 * 1024)
  t.same(
    (await open()).left.map((left) => left.claim.claim_id),
    [claimId(0), claimId(40_000)],
  )
})

t.test('what a full disk did not take is in the log again as soon as there is room, without a next line', async (t) => {
  const { clock, disk, open } = await setUp()
  const journal = await open()
  await journal.write(claimLine(1))
  disk.roomBytes = 20
  t.notOk(await journal.write({ step: 'ended', claim_id: claimId(1), ending, spooled: {} }))
  t.notOk(await journal.write({ step: 'final', claim_id: claimId(1), word }), 'nothing goes behind half a line')
  t.notMatch((await disk.read('/h/journal'))?.toString(), /final/)
  disk.roomBytes = 1e9
  await clock.advance(5000)
  const told = (await disk.read('/h/journal'))?.toString() ?? ''
  t.ok(told.endsWith('\n'))
  t.match((await open()).left, [{ claim: { claim_id: claimId(1) }, ended: { ending }, final: word }])
})

t.test('a swarm starts on a full disk too, and its log mends by itself', async (t) => {
  const { clock, disk, open } = await setUp()
  const whole = `${JSON.stringify(claimLine(1))}\n`
  await disk.replace('/h/journal', `${whole}{"step":"go`)
  disk.roomBytes = 0
  const journal = await open()
  t.match(journal.left, [{ claim: { claim_id: claimId(1) } }])
  t.notOk(await journal.write(claimLine(2)))
  t.equal((await disk.read('/h/journal'))?.toString(), `${whole}{"step":"go`, 'as it was')
  disk.roomBytes = 1e9
  await clock.advance(5000)
  t.equal(
    (await disk.read('/h/journal'))?.toString(),
    `${whole}${JSON.stringify({ ...claimLine(2), boot: 'boot 1' })}\n`,
  )
})

t.test('lines whose sync failed reach the disk in a log that is written anew', async (t) => {
  const { clock, disk, open } = await setUp()
  const journal = await open()
  disk.dice = () => 0.4
  disk.fault = (operation) => (operation === 'sync' ? new Error('EIO') : undefined)
  t.notOk(await journal.write(claimLine(1), true))
  disk.fault = () => undefined
  await clock.advance(5000)
  disk.powerCut()
  t.match((await open()).left, [{ claim: { claim_id: claimId(1) } }])
})

t.test('drafts of a life that was killed do not stay', async (t) => {
  const { disk, open } = await setUp()
  await disk.replace('/h/journal.71.new', 'half a lo')
  await disk.replace('/h/binding.json.71.new', 'not ours')
  await open()
  t.strictSame(
    (await disk.list('/h')).filter((name) => name.endsWith('.new')),
    ['binding.json.71.new'],
  )
})
