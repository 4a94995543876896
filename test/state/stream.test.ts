// Every cell of the stream's law row by row, and the promise behind it: an accepted prefix never changes or shrinks.
import fc from 'fast-check'
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import type { StreamReport } from '../../src/protocol/word.ts'
import {
  capOf,
  judgeArtifact,
  judgeEnd,
  openStream,
  type Stream,
  type StreamEvent,
  type StreamStep,
  stepStream,
  streamStates,
  streamTable,
} from '../../src/state/stream.ts'
import { checkLaw, type Row } from './cell.ts'

const open: Stream = { state: 'open', committed: 10, cap: 20 }
const full: Stream = { state: 'full', committed: 20, cap: 20 }
const closed: Stream = { state: 'closed', committed: 10, cap: 20 }

const chunk = (offset: number, length: number): StreamEvent => ({ type: 'chunk', offset, length })
const close: StreamEvent = { type: 'close' }
const step = (stream: Stream, [skip, length]: readonly [number, number], overflow = false): StreamStep => ({
  stream,
  append: { skip, length },
  overflow,
})

const rows: readonly Row<Stream, StreamEvent, ReturnType<typeof stepStream>>[] = [
  { says: 'is appended', given: open, event: chunk(10, 3), answer: step({ ...open, committed: 13 }, [0, 3]) },
  { says: 'a repeat adds nothing', given: open, event: chunk(4, 6), answer: step(open, [6, 0]) },
  { says: 'nor does an older one', given: open, event: chunk(2, 3), answer: step(open, [3, 0]) },
  {
    says: 'of an overlap only the new part',
    given: open,
    event: chunk(8, 5),
    answer: step({ ...open, committed: 13 }, [2, 3]),
  },
  { says: 'an empty one changes nothing', given: open, event: chunk(10, 0), answer: step(open, [0, 0]) },
  { says: 'a gap is refused', given: open, event: chunk(11, 1), answer: { refused: 'gap' } },
  { says: 'reaches the cap exactly', given: open, event: chunk(10, 10), answer: step(full, [0, 10]) },
  { says: 'is cut at the cap', given: open, event: chunk(9, 12), answer: step(full, [1, 10], true) },
  { says: 'closes', given: open, event: close, answer: step(closed, [0, 0]) },
  { says: 'a repeat is fine', given: full, event: chunk(15, 5), answer: step(full, [5, 0]) },
  { says: 'more does not fit', given: full, event: chunk(19, 2), answer: step(full, [1, 0], true) },
  { says: 'a gap is refused', given: full, event: chunk(21, 1), answer: { refused: 'gap' } },
  {
    says: 'takes nothing away when the cap was lowered under what is here',
    given: { ...full, committed: 30 },
    event: chunk(30, 3),
    answer: step({ ...full, committed: 30 }, [0, 0], true),
  },
  { says: 'closes', given: full, event: close, answer: step({ ...full, state: 'closed' }, [0, 0]) },
  { says: 'is too late', given: closed, event: chunk(10, 1), answer: { refused: 'closed' } },
]

t.test('every state and event', async (t) => {
  checkLaw(t, {
    table: streamTable,
    step: stepStream,
    reached: (answer) => ('stream' in answer ? answer.stream.state : undefined),
    now: 0,
    subjects: [open, full, closed],
    events: [chunk(10, 1), close],
    cells: {
      open: { chunk: ['open', 'full'], close: ['closed'] },
      full: { chunk: ['full'], close: ['closed'] },
      closed: { chunk: [] },
    },
    rows,
  })
  t.strictSame(Object.keys(streamTable), [...streamStates])
})

t.test('a stream opens as what is stored says', async (t) => {
  t.strictSame(openStream(0, 1), { state: 'open', committed: 0, cap: 1 })
  t.strictSame(openStream(1, 1), { state: 'full', committed: 1, cap: 1 })
})

t.test('whatever chunks come, what is stored only grows, and only by what comes next', async (t) => {
  const chunks = fc.array(fc.tuple(fc.nat(70), fc.uint8Array({ maxLength: 24 })), { maxLength: 40, size: 'max' })
  fc.assert(
    fc.property(fc.nat(60), fc.nat(60), chunks, (kept, cap, story) => {
      let stored = Buffer.alloc(kept, 1)
      let stream = openStream(kept, cap)
      for (const [offset, bytes] of story) {
        const before = stored
        const answer = stepStream(stream, chunk(offset, bytes.length), 0)
        if ('refused' in answer) {
          if (answer.refused !== 'gap' || offset <= stored.length) throw new Error('refused what has no gap')
          continue
        }
        if (offset > stored.length) throw new Error('took a gap')
        const { skip, length } = answer.append
        stored = Buffer.concat([stored, bytes.subarray(skip, skip + length)])
        const fresh = bytes.subarray(before.length - offset)
        const room = Math.max(0, cap - before.length)
        const model = Buffer.concat([before, fresh.subarray(0, room)])
        if (!stored.equals(model)) throw new Error('is not the prefix and what comes next')
        if (answer.stream.committed !== stored.length) throw new Error('counts wrong')
        if (answer.overflow !== fresh.length > room) throw new Error('overflow is what did not fit')
        if ((answer.stream.state === 'full') !== stored.length >= cap) throw new Error('full is at the cap')
        const again = stepStream(answer.stream, chunk(offset, bytes.length), 0)
        if (!('append' in again) || again.append.length !== 0) throw new Error('a repeat added something')
        stream = answer.stream
      }
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 stories of chunks that also contradict each other')
})

t.test('an honest sender that resumes at what is committed gets everything across', async (t) => {
  const lengths = fc.array(fc.nat(20), { maxLength: 30, size: 'max' })
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200, size: 'max' }),
      lengths,
      fc.array(fc.boolean()),
      (source, sizes, lostReplies) => {
        let stored = Buffer.alloc(0)
        let stream = openStream(0, 1000)
        let believed = 0
        for (const [index, size] of [...sizes, 200, 200].entries()) {
          const bytes = source.subarray(believed, believed + size)
          const answer = stepStream(stream, chunk(believed, bytes.length), 0)
          if ('refused' in answer) throw new Error('an honest sender met a refusal')
          const { skip, length } = answer.append
          stored = Buffer.concat([stored, bytes.subarray(skip, skip + length)])
          stream = answer.stream
          if (!lostReplies[index]) believed = stream.committed
        }
        if (!Buffer.from(source.subarray(0, stored.length)).equals(stored)) throw new Error('bytes are out of place')
        const heard = sizes.length + 1
        if (!lostReplies[heard] && stored.length !== source.length) throw new Error('bytes are missing')
      },
    ),
    { numRuns: 500 },
  )
  t.pass('500 sendings with lost replies')
})

t.test('how a stream ended, against what is stored', async (t) => {
  const stored = { committed: 5, sha256: 'a' }
  const whole: StreamReport = { bytes: 5, sha256: 'a', produced: 5, end: 'complete' }
  t.equal(judgeEnd(whole, stored), 'whole')
  t.equal(judgeEnd({ ...whole, bytes: 6, produced: 6 }, stored), 'incomplete', 'a byte is missing')
  t.equal(judgeEnd({ ...whole, bytes: 4, produced: 4 }, stored), 'incomplete', 'a byte too many')
  t.equal(judgeEnd({ ...whole, produced: 6 }, stored), 'incomplete', 'complete means all that was produced')
  t.equal(judgeEnd({ ...whole, sha256: 'b' }, stored), 'incomplete', 'other bytes')
  t.equal(judgeEnd({ ...whole, bytes: 9, produced: 99, sha256: 'b', end: 'capped' }, stored), 'whole', 'capped stands')
  t.equal(judgeEnd({ ...whole, bytes: 9, produced: 99, sha256: 'b', end: 'lost' }, stored), 'whole', 'lost stands')
})

t.test('each kind of stream has its own cap', async (t) => {
  const caps = { streamBytes: 5, artifactBytes: 7 }
  for (const [name, cap] of Object.entries({
    ...{ stdout: 5, stderr: 5, 'artifact/0': 7, 'artifact/17': 7 },
    ...{ 'stdout.tail': 2 * limit.tailBytes, 'stderr.tail': 2 * limit.tailBytes },
  })) {
    t.equal(capOf(name, caps), cap, name)
  }
})

t.test('an artifact is whole, or there is a reason', async (t) => {
  const told = { bytes: 3, produced: 3, sha256: 'a'.repeat(64) }
  t.equal(judgeArtifact({ ...told, end: 'complete' }, 3), undefined)
  t.equal(judgeArtifact({ ...told, end: 'complete' }, 2), 'unreadable')
  t.equal(judgeArtifact({ ...told, end: 'capped' }, 3), 'too_large')
  t.equal(judgeArtifact({ ...told, end: 'lost' }, 3), 'unreadable')
  t.equal(judgeArtifact(undefined, 0), undefined, 'an empty file of which nothing was told')
  t.equal(judgeArtifact(undefined, 1), 'unreadable')
})
