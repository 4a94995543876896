// Streams in and out, live events, telemetry.
import t from 'tap'
import { NoRoomError } from '../../../server/blob/contract.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { finalWord, jobOf, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'

const read = async (rig: PondRig, id: string, more: Asking = {}) => {
  const { headers, bytes, code, status } = await rig.call('readStream', { params: { id, name: 'stdout' }, ...more })
  const end = headers['pond-end']
  return {
    code,
    status,
    text: bytes.toString(),
    next: headers['pond-next-offset'],
    end,
    attempt: headers['pond-attempt'],
    range: headers['content-range'],
  }
}

async function marksOf(rig: PondRig, id: string): Promise<number[][]> {
  const { items } = (await rig.call('listChunks', { params: { id, name: 'stdout' } })).reply
  return items.map(({ offset, length }) => [offset, length])
}

t.test('a chunk is taken once: repeats, overlaps, gaps', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  const send = async (offset: number, bytes: string) => {
    const { reply, error } = await box.send(intent, { offset, bytes })
    return error ? { [error.code]: error.details.committed } : reply.committed
  }
  t.equal(await send(0, 'abcd'), 4)
  t.equal(await send(0, 'abcd'), 4, 'a repeat')
  t.equal(await send(2, 'cdef'), 6, 'an overlap brings what is new')
  t.strictSame(await send(0, 'XXXX'), { conflict: 6 }, 'an accepted prefix never changes')
  t.strictSame(await send(4, 'eXgh'), { conflict: 6 }, 'nor does anything go behind another')
  t.strictSame(await send(10_000_000, 'x'), { chunk_gap: 6 })
  t.equal(await send(6, ''), 6)
  const both = await Promise.all([send(6, 'gh'), send(6, 'gh'), send(8, 'ij')])
  t.equal(both.at(-1), 10, 'calls at once take their turn')
  t.strictSame(await Promise.all([send(10, 'kl'), send(10, 'kX'), send(11, 'lm')]), [12, { conflict: 13 }, 13])
  t.equal((await read(rig, id)).text, 'abcdefghijklm')
  t.strictSame(await marksOf(rig, id), [
    [0, 4],
    [4, 2],
    [6, 2],
    [8, 2],
    [10, 2],
    [12, 1],
  ])
})

t.test('chunks that overtake each other wait for the one that is missing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  const send = (offset: number, bytes: string) => box.send(intent, { offset, bytes })
  const late = [send(6, 'gh'), send(4, 'ef'), send(2, 'cd')]
  await rig.clock.settle()
  t.equal((await read(rig, id)).text, '', 'nothing is stored with a hole before it')
  t.equal((await send(0, 'ab')).reply.committed, 2)
  await rig.clock.settle()
  for (const answered of await Promise.all(late)) t.ok(answered.reply.committed >= 4, 'each is stored')
  t.equal((await read(rig, id)).text, 'abcdefgh')
  t.strictSame(await marksOf(rig, id), [
    [0, 2],
    [2, 2],
    [4, 2],
    [6, 2],
  ])
})

t.test('a chunk whose predecessor never comes is a gap after two seconds, exact at that moment', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  const ahead = box.send(intent, { offset: 6, bytes: 'gh' })
  const ended = box.send(intent, { stream: 'stderr', offset: 6, bytes: 'gh' })
  await rig.clock.advance(1000)
  await box.send(intent, { offset: 0, bytes: 'abcd' })
  await rig.clock.advance(1000)
  t.match(await ahead, { status: 409, code: 'chunk_gap', error: { details: { committed: 4 } } })
  t.match(await ended, { status: 409, code: 'chunk_gap', error: { details: { committed: 0 } } })
  const behind = box.send(intent, { offset: 6, bytes: 'gh' })
  await rig.clock.settle()
  await box.say(intent, finalWord)
  await rig.clock.advance(2000)
  t.equal((await behind).code, 'claim_ended', 'the final word comes first: nothing is stored behind it')
  t.equal((await rig.blobs.stat({ claimId: intent.claim_id, name: 'stdout' })).committed, 4)
})

t.test('what waits while the device syncs goes together, and one failure is told to each', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { limits: { stream_bytes: 9 } })
  const intent = await box.start()
  const appends: number[] = []
  const { blobs } = rig
  const { append } = blobs
  let full = false
  blobs.append = async (key, chunks) => {
    if (full) throw new NoRoomError('full')
    appends.push(chunks.length)
    return await append(key, chunks)
  }
  const send = (offset: number, bytes: string) => box.send(intent, { offset, bytes })
  const sent = await Promise.all([send(0, 'ab'), send(6, 'gh'), send(2, 'cd'), send(2, 'cd'), send(4, 'ef')])
  t.strictSame(
    sent.map(({ reply }) => reply.committed),
    [2, 8, 8, 8, 8],
  )
  t.strictSame(appends, [1, 3], 'the repeat is not stored again')
  full = true
  const refused = await Promise.all([send(8, 'i'), send(8, 'i')])
  t.ok(refused.every(({ code }) => code === 'disk_full'))
  full = false
  const over = await Promise.all([send(8, 'ijk'), send(8, 'i')])
  t.match(over, [{ code: 'stream_full', error: { details: { committed: 9, cap: 9 } } }, { reply: { committed: 9 } }])
  t.equal((await read(rig, id)).text, 'abcdefghi')
})

t.test('pond dies between two chunks under way: the next life has a prefix, and tells how much', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  const send = (offset: number, bytes: string) => box.send(intent, { offset, bytes })
  t.equal((await send(0, 'ab')).reply.committed, 2)
  void send(4, 'ef')
  await rig.clock.settle()
  await rig.restart()
  t.equal((await read(rig, id)).text, 'ab', 'the one that was ahead is not there')
  const again = send(4, 'ef')
  await rig.clock.settle()
  t.equal((await send(2, 'cd')).reply.committed, 4)
  t.equal((await again).reply.committed, 6)
  t.equal((await read(rig, id)).text, 'abcdef')
})

t.test('past its cap a stream is full, its tail goes on', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { limits: { stream_bytes: 6 } })
  const intent = await box.start()
  t.equal(intent.limits.stream_bytes, 6)
  const full = await box.send(intent, { offset: 0, bytes: 'abcdefgh' })
  t.match(full, { status: 413, code: 'stream_full', error: { details: { committed: 6, cap: 6 } } })
  t.equal((await box.send(intent, { offset: 4, bytes: 'ef' })).reply.committed, 6)
  const tail = { stream: 'stdout.tail', offset: 0, bytes: Buffer.alloc(2 * limit.tailBytes) }
  t.equal((await box.send(intent, tail)).status, 200, 'sealed it takes more than the bytes in it')
  t.equal((await box.send(intent, { ...tail, offset: tail.bytes.length, bytes: 'x' })).code, 'stream_full')
  const stdout = { bytes: 6, produced: 99, sha256: '0'.repeat(64), end: 'capped' } as const
  await box.say(intent, { ...finalWord, streams: { stdout } })
  t.match(await read(rig, id), { text: 'abcdef', end: 'capped' })
  rig.noRoom = true
  t.match(await rig.call('submitJob', { body: { command: ['x'] } }), { status: 507, code: 'disk_full' })
  t.match(await rig.call('readyz'), { status: 507 })
})

t.test('reading: offset, wait, Range, attempts', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { retry: { on: ['exit'], backoff_ms: 0 } })
  t.equal((await read(rig, id)).code, 'not_found', 'no attempt yet')
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'hello' })
  t.match(await read(rig, id, { query: { offset: '2' } }), { text: 'llo', next: '5', end: 'open', attempt: '1' })
  const ranges = { 'bytes=1-2': 'el', 'bytes=3-': 'lo', 'bytes=-1': 'o', 'bytes=0-99': 'hello' }
  for (const [range, text] of Object.entries(ranges)) {
    t.match(await read(rig, id, { headers: { range } }), { status: 206, text, range: /^bytes \d-\d\/5$/ }, range)
  }
  const waiting = read(rig, id, { query: { offset: '5', wait_ms: '9000' } })
  await rig.clock.settle()
  await box.send(intent, { offset: 5, bytes: '!' })
  t.match(await waiting, { text: '!', next: '6' }, 'woken by the next chunk')
  const quiet = read(rig, id, { query: { offset: '6', wait_ms: '9000' } })
  await rig.clock.advance(9000)
  t.match(await quiet, { text: '', next: '6', end: 'open' })
  await box.say(intent, { ...finalWord, rc: 1 })
  await rig.clock.advance(0)
  const second = await box.start()
  await box.send(second, { offset: 0, bytes: 'again' })
  t.match(await read(rig, id), { text: 'again', attempt: '2', end: 'open' }, 'the latest by default')
  t.match(
    await read(rig, id, { query: { attempt: '1' } }),
    { text: 'hello!', end: 'lost' },
    'its final word did not say that this is all',
  )
})

t.test('following gives every byte as it comes, and ends with the attempt or with the reader', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  const leaving = new AbortController()
  const follow = (signal?: AbortSignal) =>
    rig.call('readStream', { params: { id, name: 'stdout' }, query: { follow: '1' }, ...(signal ? { signal } : {}) })
  const [reader, leaver] = [follow(), follow(leaving.signal)]
  for (const [index, bytes] of ['a', 'b', 'c'].entries()) {
    await rig.clock.advance(60_000)
    await box.send(intent, { offset: index, bytes })
    if (index === 1) leaving.abort()
  }
  t.match((await leaver).bytes.toString(), /^ab?$/)
  await box.say(intent, finalWord)
  t.equal((await reader).bytes.toString(), 'abc')
})

t.test('events of a job: past and coming, numbered by its versions, with telemetry, until its end', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { labels: { app: 'a' } })
  const all = rig.call('followJob', { params: { id } })
  const labelled = new AbortController()
  const project = rig.call('followJobs', { query: { label: 'app=a' }, signal: labelled.signal })
  const none = rig.call('followJobs', { query: { label: 'app=b' }, signal: labelled.signal })
  await rig.clock.settle()
  const intent = await box.start()
  const events = [{ id: 'e1', type: 'progress', at: 5, data: { done: 1 } }]
  const telemetry = () =>
    rig.call('sendTelemetry', {
      token: box.token,
      params: { id },
      headers: { 'x-claim-token': intent.claim_token },
      body: { claim_id: intent.claim_id, events },
    })
  t.strictSame((await telemetry()).reply, { stored: 1, repeated: 0, dropped: 0 })
  t.strictSame((await telemetry()).reply, { stored: 0, repeated: 1, dropped: 0 })
  await rig.clock.advance(15_000)
  await box.say(intent, finalWord)
  const text = (await all).bytes.toString()
  t.strictSame(text.match(/^id: .*$/gm), ['id: 1', 'id: 2', 'id: 3', 'id: 4'])
  t.strictSame(
    text.match(/"state":"\w+"/g),
    ['queued', 'claimed', 'running', 'succeeded'].map((it) => `"state":"${it}"`),
  )
  t.equal(text.match(/event: telemetry\ndata: .*"id":"e1"/g)?.length, 1)
  t.match(text, /^: still here$/m, 'a comment in the quiet')
  const rest = await rig.call('followJob', { params: { id }, headers: { 'last-event-id': '3' } })
  t.strictSame(rest.bytes.toString().match(/^id: .*$/gm), ['id: 4'], 'from where the reader was')
  labelled.abort()
  t.equal((await project).bytes.toString().match(/event: job/g)?.length, 3)
  t.equal((await none).bytes.toString().match(/event: job/g), null)
})

t.test('a reader of events that is too slow is cut off', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  const { body } = await rig.open('followJob', { params: { id } })
  const events = (body as AsyncIterable<string>)[Symbol.asyncIterator]()
  await events.next()
  for (let call = 0; call < 5; call++) {
    await rig.call('sendTelemetry', {
      token: box.token,
      params: { id },
      headers: { 'x-claim-token': intent.claim_token },
      body: {
        claim_id: intent.claim_id,
        events: Array.from({ length: 256 }, (_, at) => ({ id: `${call}-${at}`, type: 'x', at })),
      },
    })
  }
  let count = 0
  for (let next = await events.next(); !next.done; next = await events.next()) count++
  t.ok(count >= 1000 && count < 1100, 'it gets what was kept, then its end')
})

t.test('retention: a job that ended long ago is gone with its rows and its files', async (t) => {
  const rig = await createPondRig(t, { settings: { retentionMs: 600_000 } })
  const box = await pairMachine(rig)
  const old = await submit(rig, {}, { 'idempotency-key': 'old' })
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'bytes' })
  await box.say(intent, { ...finalWord, result: '1' })
  const waits = await submit(rig)
  t.equal((await rig.dump()).blobs?.length, 1)
  await rig.clock.advance(599_000)
  t.equal((await jobOf(rig, old.id)).state, 'succeeded')
  await rig.clock.advance(61_000)
  t.equal((await rig.call('getJob', { params: { id: old.id } })).code, 'not_found')
  const dump = await rig.dump()
  for (const table of ['claims', 'results', 'blobs']) t.strictSame(dump[table], [], table)
  t.equal((await jobOf(rig, waits.id)).state, 'queued')
  const repeat = { headers: { 'idempotency-key': 'old' }, body: { command: ['true'] } }
  t.equal((await rig.call('submitJob', repeat)).code, 'not_found', 'its key stands for what is gone')
  rig.clock.jump(limit.idempotencyKeyMs)
  await rig.clock.advance(61_000)
  t.equal((await rig.call('submitJob', repeat)).status, 201, 'for seven days')
})
