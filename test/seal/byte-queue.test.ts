// Bytes come out as they went in, whatever the pieces, and cost no more for being small.
import fc from 'fast-check'
import t from 'tap'
import { ByteQueue } from '../../src/seal/byte-queue.ts'
import { split } from '../harness/seal.ts'

t.test('what is pushed in any pieces is taken in any others', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), sizes(), sizes(), (bytes, into, out) => {
      const queue = new ByteQueue()
      const taken: Buffer[] = []
      let turn = 0
      const take = () => {
        const count = out[turn++ % out.length] ?? 1
        taken.push(queue.peek(count))
        queue.drop(count)
      }
      for (const piece of split(bytes, into)) {
        queue.push(piece)
        take()
      }
      while (queue.length > 0) take()
      // Looked at only now: what was handed out has not been written over.
      t.ok(Buffer.concat(taken).equals(bytes))
    }),
  )
})

t.test('a piece may be used again by whoever pushed it', async (t) => {
  const queue = new ByteQueue()
  const piece = Buffer.from('abc')
  queue.push(piece)
  piece.fill(0)
  t.equal(queue.peek(9).toString(), 'abc', 'and no more than there is')
  queue.drop(9)
  t.equal(queue.length, 0)
})

t.test('memory follows what is held, not what went through', async (t) => {
  const queue = new ByteQueue()
  const piece = Buffer.alloc(1000)
  let moves = 0
  let most = 0
  let memory = queue.peek(1).buffer
  for (let turn = 0; turn < 10_000; turn++) {
    queue.push(piece)
    queue.drop(1000)
    if (queue.peek(0).buffer !== memory) moves++
    memory = queue.peek(0).buffer
    most = Math.max(most, memory.byteLength)
  }
  t.ok(most <= 4000, `holds ${most} bytes for none`)
  t.ok(moves <= 5001, 'moved at most every second time')
})

t.test('a byte at a time is moved a few times, not each time', async (t) => {
  const queue = new ByteQueue()
  const memories = new Set<unknown>()
  for (let count = 0; count < 64 * 1024; count++) {
    queue.push(Buffer.of(1))
    memories.add(queue.peek(0).buffer)
  }
  t.ok(memories.size <= 20, `${memories.size} memories`)
})

function sizes() {
  return fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
}
