// Memory that is given back: of whom alone it is, and of nobody else.
import t from 'tap'
import { releaseMemory } from '../../src/system/release.ts'

const LONG = 64 * 1024

t.test('what was made for one read is empty afterwards, and its memory is free at once', (t) => {
  const before = process.memoryUsage().arrayBuffers
  for (let round = 0; round < 1000; round++) {
    const bytes = Buffer.allocUnsafeSlow(LONG)
    releaseMemory(bytes)
    if (bytes.length > 0) t.fail('it is still there')
  }
  // Nothing here waited for a collection: all of them together would be 64 MB.
  t.ok(process.memoryUsage().arrayBuffers - before < 100 * LONG)
  t.end()
})

t.test('what shares its memory, and what is short, stays as it is', (t) => {
  const whole = Buffer.alloc(LONG, 'x')
  releaseMemory(whole.subarray(1))
  t.ok(whole.equals(Buffer.alloc(LONG, 'x')))
  const short = Buffer.allocUnsafeSlow(100)
  releaseMemory(short)
  t.equal(short.length, 100)
  // From the pool that all short buffers share.
  const pooled = Buffer.from('a few bytes')
  releaseMemory(pooled)
  t.equal(pooled.toString(), 'a few bytes')
  t.end()
})
