// What every adapter of Blobs must do, as one suite. Nothing here knows how an adapter keeps its bytes.
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import type { Test } from 'tap'
import {
  appendMost,
  type Blobs,
  type ChunkMark,
  type NewChunk,
  NoRoomError,
  type StreamKey,
} from '../../server/blob/contract.ts'

/** One store; opening it again, after a close, is a restart. */
export interface BlobPlace {
  open(): Promise<Blobs>
  /** Opens it where no chunk fits. */
  openFull(): Promise<Blobs>
}

type MakePlace = (t: Test) => Promise<BlobPlace>

export function blobSuite(t: Test, makePlace: MakePlace): void {
  for (const [name, run] of Object.entries(cases)) {
    t.test(name, async (t) => run(t, await makePlace(t)))
  }
}

const key: StreamKey = { claimId: 'clm_01', name: 'stdout' }

export const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export const chunkAt = (offset: number, text: string): NewChunk => ({
  offset,
  at: 1,
  order: 1,
  bytes: Buffer.from(text),
})

/** Appends the pieces one after another behind what is there. */
export async function appendAll(blobs: Blobs, key: StreamKey, pieces: readonly Uint8Array[]): Promise<ChunkMark[]> {
  const marks: ChunkMark[] = []
  let { committed, chunks } = await blobs.stat(key)
  for (const piece of pieces) {
    const mark = { offset: committed, at: 1_700_000_000_000 + chunks, order: chunks * 2 }
    const stat = await blobs.append(key, [{ ...mark, bytes: piece }])
    marks.push({ ...mark, length: piece.length })
    ;({ committed, chunks } = stat)
  }
  return marks
}

const cases: Readonly<Record<string, (t: Test, place: BlobPlace) => Promise<void>>> = {
  'a stream that does not exist is empty': async (t, place) => {
    const blobs = await place.open()
    t.same(await blobs.stat(key), { committed: 0, chunks: 0 })
    t.equal((await blobs.read(key, 0, 10)).length, 0)
    t.same(await blobs.marks(key, 0, 10), [])
    t.equal(await blobs.sha256(key), digest(Buffer.alloc(0)))
    t.same(await blobs.list(key.claimId), [], 'asking made nothing')
    await blobs.remove(key.claimId)
    await blobs.close()
  },

  'every range reads back, before and after a restart': async (t, place) => {
    const pieces = ['a', 'bcd', 'ef', 'ghijk'].map((text) => Buffer.from(text))
    const whole = Buffer.concat(pieces)
    let blobs = await place.open()
    const marks = await appendAll(blobs, key, pieces)
    for (const turn of ['before', 'after']) {
      t.same(await blobs.stat(key), { committed: 11, chunks: 4 }, turn)
      t.equal(await blobs.sha256(key), digest(whole), turn)
      for (let from = 0; from <= 12; from++) {
        for (let length = 0; length <= 13; length++) {
          const range = `${turn} the restart, ${length} bytes from ${from}`
          if (!(await blobs.read(key, from, length)).equals(whole.subarray(from, from + length))) t.fail(range)
          const touched = marks.filter((mark) => mark.offset < from + length && mark.offset + mark.length > from)
          if (!isDeepStrictEqual(await blobs.marks(key, from, length), length > 0 ? touched : []))
            t.fail(`marks: ${range}`)
        }
      }
      await blobs.close()
      blobs = await place.open()
    }
    await appendAll(blobs, key, [Buffer.from('later')])
    t.equal(await blobs.sha256(key), digest(Buffer.concat([whole, Buffer.from('later')])))
    await blobs.close()
  },

  'ranges over the seams of long chunks, and digests asked for at once': async (t, place) => {
    const sizes = [70_000, 1, 65_536, 262_144, 16_384, 1_048_576, 3]
    const pieces = sizes.map((size) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 31 + size) % 251)))
    const whole = Buffer.concat(pieces)
    let blobs = await place.open()
    const marks = await appendAll(blobs, key, pieces)
    await blobs.close()
    blobs = await place.open()
    const asked = Array.from({ length: 4 }, () => blobs.sha256(key))
    for (const { offset } of marks.slice(1)) {
      for (const from of [offset - 2, offset - 1, offset, offset + 1]) {
        for (const length of [1, 2, 70_000]) {
          const read = await blobs.read(key, from, length)
          if (!read.equals(whole.subarray(from, from + length))) t.fail(`${length} bytes from ${from}`)
        }
      }
    }
    t.same(await Promise.all(asked), Array(4).fill(digest(whole)))
    t.same(await blobs.marks(key, 70_000, 2), marks.slice(1, 3))
    await blobs.close()
  },

  'any sizes behave like one buffer': async (t, place) => {
    let blobs = await place.open()
    let run = 0
    const piece = fc.oneof(
      { weight: 8, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 140_000 }).map((size) => Buffer.alloc(size, size % 251)) },
    )
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ append: piece }) },
      {
        weight: 3,
        arbitrary: fc.record({ from: fc.double({ min: 0, max: 1, noNaN: true }), length: fc.nat(200_000) }),
      },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
    )
    const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const key = { claimId: `clm_run${run++}`, name: 'stdout' }
      let model = Buffer.alloc(0)
      for (const step of steps) {
        if (step === 'restart') {
          await blobs.close()
          blobs = await place.open()
        } else if ('append' in step) {
          await appendAll(blobs, key, [step.append])
          model = Buffer.concat([model, step.append])
        } else {
          const from = Math.floor(step.from * model.length)
          const read = await blobs.read(key, from, step.length)
          if (!read.equals(model.subarray(from, from + step.length))) return false
        }
      }
      const marks = await blobs.marks(key, 0, Number.MAX_SAFE_INTEGER)
      const covered = marks.reduce((end, mark) => (mark.offset === end ? end + mark.length : Number.NaN), 0)
      return covered === model.length && (await blobs.sha256(key)) === digest(model)
    })
    await fc.assert(property, { numRuns: 60 })
    await blobs.close()
    t.pass()
  },

  'a wrong offset or an overlap is refused and changes nothing': async (t, place) => {
    const blobs = await place.open()
    await appendAll(blobs, key, [Buffer.from('abc')])
    for (const offset of [0, 2, 4]) await t.rejects(blobs.append(key, [chunkAt(offset, 'x')]))
    await t.rejects(blobs.append(key, [chunkAt(3, '')]), 'an empty chunk')
    await t.rejects(blobs.append(key, [chunkAt(3, 'x'), chunkAt(5, 'y')]), 'a gap inside')
    const twice = [1, 2].map((order) => blobs.append(key, [{ ...chunkAt(3, 'def'), order }]))
    const ends = await Promise.allSettled(twice)
    t.same(ends.map((end) => end.status).sort(), ['fulfilled', 'rejected'])
    t.same(await blobs.stat(key), { committed: 6, chunks: 2 })
    t.equal(String(await blobs.read(key, 0, 10)), 'abcdef')
    await blobs.close()
  },

  'several chunks in one append: each keeps its mark, and all are there or none': async (t, place) => {
    let blobs = await place.open()
    const texts = ['a', 'bcd', 'ef']
    const chunks = texts.map((text, order) => ({ ...chunkAt(texts.slice(0, order).join('').length, text), order }))
    t.same(await blobs.append(key, chunks), { committed: 6, chunks: 3 })
    const tooMany = Array.from({ length: appendMost.chunks + 1 }, (_, index) => chunkAt(6 + index, 'x'))
    await t.rejects(blobs.append(key, tooMany))
    await t.rejects(blobs.append(key, [chunkAt(6, 'x'.repeat(appendMost.bytes)), chunkAt(6 + appendMost.bytes, 'y')]))
    t.same(
      await blobs.append(
        key,
        tooMany.slice(1).map((chunk, index) => ({ ...chunk, offset: 6 + index })),
      ),
      {
        committed: 6 + appendMost.chunks,
        chunks: 3 + appendMost.chunks,
      },
    )
    for (const turn of ['before', 'after']) {
      t.equal(String(await blobs.read(key, 0, 8)), 'abcdefxx', turn)
      const marks = chunks.map(({ bytes, ...mark }) => ({ ...mark, length: bytes.length }))
      t.same(await blobs.marks(key, 0, 6), marks, turn)
      t.equal(await blobs.sha256(key), digest(Buffer.from(`abcdef${'x'.repeat(appendMost.chunks)}`)), turn)
      await blobs.close()
      blobs = await place.open()
    }
    await blobs.close()
  },

  'readers and digests beside a writer see only what is committed': async (t, place) => {
    const blobs = await place.open()
    const whole = Buffer.from(Array.from({ length: 4000 }, (_, at) => at % 256))
    const slices = Array.from({ length: 40 }, (_, piece) => whole.subarray(piece * 100, piece * 100 + 100))
    await appendAll(blobs, key, slices.slice(0, 1))
    let writing = true
    const writer = appendAll(blobs, key, slices.slice(1)).finally(() => {
      writing = false
    })
    const prefixes = new Set(Array.from({ length: 40 }, (_, pieces) => digest(whole.subarray(0, pieces * 100 + 100))))
    let looks = 0
    while (writing) {
      const before = (await blobs.stat(key)).committed
      const read = await blobs.read(key, 0, whole.length)
      if (read.length < before || read.length % 100 !== 0 || !read.equals(whole.subarray(0, read.length)))
        t.fail('read')
      if (!prefixes.has(await blobs.sha256(key))) t.fail('digest')
      looks++
    }
    await writer
    t.ok(looks > 0)
    t.equal(await blobs.sha256(key), digest(whole))
    await blobs.close()
  },

  'streams of many claims grow side by side': async (t, place) => {
    const blobs = await place.open()
    const keys = ['clm_a', 'clm_A', 'clm_b'].flatMap((claimId) => names.map((name) => ({ claimId, name })))
    const text = (key: StreamKey) => Buffer.from(`${key.claimId} ${key.name}`)
    await Promise.all(keys.map((key) => appendAll(blobs, key, [text(key), text(key)])))
    for (const key of keys) t.same(await blobs.read(key, 0, 1e6), Buffer.concat([text(key), text(key)]))
    await blobs.close()
    const again = await place.open()
    t.same(await again.list('clm_a'), [...names].sort())
    t.same(await again.list('clm_c'), [])
    await again.close()
  },

  'remove takes one claim whole, for good': async (t, place) => {
    let blobs = await place.open()
    const other = { claimId: 'clm_02', name: 'stdout' }
    await Promise.all([
      appendAll(blobs, key, [Buffer.from('secret')]),
      appendAll(blobs, { ...key, name: 'artifact/0' }, [Buffer.from('secret')]),
      appendAll(blobs, other, [Buffer.from('stays')]),
    ])
    const reader = blobs.read(key, 0, 6)
    await blobs.remove(key.claimId)
    t.equal(String(await reader), 'secret', 'a reader that was there first is served')
    for (const turn of ['before', 'after']) {
      t.same(await blobs.list(key.claimId), [], turn)
      t.same(await blobs.stat(key), { committed: 0, chunks: 0 }, turn)
      t.equal(String(await blobs.read(other, 0, 9)), 'stays', turn)
      await blobs.close()
      blobs = await place.open()
    }
    await appendAll(blobs, key, [Buffer.from('new')])
    t.equal(String(await blobs.read(key, 0, 9)), 'new')
    t.equal(await blobs.sha256(key), digest(Buffer.from('new')))
    await blobs.close()
  },

  'without room an append is refused and leaves no trace': async (t, place) => {
    let blobs = await place.open()
    t.ok((await blobs.roomBytes()) > 0)
    await appendAll(blobs, key, [Buffer.from('abc')])
    await blobs.close()
    blobs = await place.openFull()
    t.equal(await blobs.roomBytes(), 0)
    await t.rejects(blobs.append(key, [chunkAt(3, 'd')]), NoRoomError)
    await t.rejects(blobs.append({ ...key, name: 'new' }, [chunkAt(0, 'd')]), NoRoomError)
    t.same(await blobs.list(key.claimId), ['stdout'])
    t.equal(String(await blobs.read(key, 0, 9)), 'abc')
    await blobs.close()
  },

  'close waits for what was begun, and nothing begins after it': async (t, place) => {
    const blobs = await place.open()
    const append = blobs.append(key, [chunkAt(0, 'abc')])
    let ended = false
    void append.then(() => {
      ended = true
    })
    await blobs.close()
    t.ok(ended)
    await t.rejects(blobs.stat(key))
  },
}

const names = [
  'stdout',
  'stderr.tail',
  'artifact/7',
  'artifact/..',
  '..',
  '.',
  'STDOUT',
  'a b%2f',
  'é\u0000\\:*',
  '日本',
]
