// The bodies of chunks over real sockets: whose memory is used again, and whose is not.
import { createHash, randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Bodies } from '../../../server/http/body.ts'
import { limit } from '../../../src/protocol/limit.ts'

interface Answer {
  readonly error?: string
  readonly sha256?: string
  /** Which memory it lay in. */
  readonly memory?: number
}

/** Answers each body by its digest; the path says how: `/keep` gives nothing back, `/hold` is answered when so many are held. */
async function openServer(t: Test, holds = 0) {
  const bodies = new Bodies()
  const memories: ArrayBufferLike[] = []
  const began = new EventEmitter()
  const cut = new EventEmitter()
  const held: (() => void)[] = []
  const server = createServer((incoming, outgoing) => {
    began.emit('request')
    bodies.read(incoming, incoming, async (error, body) => {
      if (error || !body) {
        cut.emit('cut', error?.message)
        incoming.resume()
        return outgoing.end(JSON.stringify({ error: error?.message }))
      }
      if (incoming.url === '/hold') {
        await new Promise<void>((resolve) => {
          held.push(resolve)
          if (held.length === holds) for (const release of held) release()
        })
      }
      if (!memories.includes(body.buffer)) memories.push(body.buffer)
      const answer = { sha256: digest(body), memory: memories.indexOf(body.buffer) }
      if (incoming.url !== '/keep') bodies.giveBack(incoming)
      return outgoing.end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const open = (path: string, headers = {}) => request({ port, host: '127.0.0.1', path, method: 'PUT', headers })
  const send = (path: string, parts: readonly Buffer[], headers = {}) =>
    new Promise<Answer>((resolve, reject) => {
      const call = open(path, headers).on('error', reject)
      call.on('response', async (incoming) => {
        let text = ''
        for await (const part of incoming) text += part
        resolve(JSON.parse(text) as Answer)
      })
      for (const part of parts) call.write(part)
      call.end()
    })
  return { open, send, began, cut }
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const sized = (...parts: readonly Buffer[]) => ({ 'content-length': parts.reduce((sum, part) => sum + part.length, 0) })

t.test('memory is used again once it was given back, and not before', async (t) => {
  const { send } = await openServer(t)
  const one = randomBytes(limit.chunkBytes)
  const [first, second] = [await send('/', [one], sized(one)), await send('/', [one], sized(one))]
  t.equal(second.memory, first.memory)
  const kept = await send('/keep', [one], sized(one))
  const other = await send('/', [one], sized(one))
  t.not(other.memory, kept.memory)
  for (const { sha256 } of [first, second, kept, other]) t.equal(sha256, digest(one))
})

t.test('the piece of a bundle lies in memory of its own, which is used again too', async (t) => {
  const { send } = await openServer(t)
  const [piece, chunk] = [randomBytes(limit.bodyBytes), randomBytes(limit.chunkBytes)]
  const first = await send('/', [piece], sized(piece))
  const between = await send('/', [chunk], sized(chunk))
  const second = await send('/', [piece], sized(piece))
  t.equal(second.memory, first.memory)
  t.not(between.memory, first.memory)
  for (const { sha256 } of [first, second]) t.equal(sha256, digest(piece))
})

t.test('many at once, each with its own bytes', async (t) => {
  const { send } = await openServer(t, 40)
  const all = Array.from({ length: 60 }, (_, index) => randomBytes(1 + index * 4000))
  const answers = await Promise.all(all.map((one, index) => send(index % 3 ? '/hold' : '/keep', [one], sized(one))))
  for (const [index, { sha256 }] of answers.entries()) t.equal(sha256, digest(all[index] ?? Buffer.alloc(0)))
})

t.test('without a length it is taken too, up to the most that a body may have', async (t) => {
  const { send } = await openServer(t)
  const parts = [randomBytes(100_000), randomBytes(300_000)]
  t.match(await send('/', parts), { sha256: digest(Buffer.concat(parts)) })
  t.match(await send('/', [Buffer.alloc(limit.bodyBytes), Buffer.alloc(1)]), { error: 'the body is too large' })
  const long = Buffer.alloc(limit.bodyBytes + 1)
  t.match(await send('/', [long], sized(long)), { error: 'the body is too large' })
  t.match(await send('/', [], { 'content-length': 0 }), { sha256: digest(Buffer.alloc(0)) })
})

t.test('an upload that is cut is an error, once', async (t) => {
  const { open, send, began, cut } = await openServer(t)
  const errors: unknown[] = []
  cut.on('cut', (message) => errors.push(message))
  const came = once(began, 'request')
  const call = open('/', { 'content-length': 1000 }).on('error', () => {})
  call.write(randomBytes(500))
  await came
  const told = once(cut, 'cut')
  call.destroy()
  await told
  await send('/', [Buffer.from('next')])
  t.strictSame(errors, ['aborted'])
})
