// A reverse proxy in front of pond that writes down what pond acknowledged: submits, cancels, chunks and final words. It changes nothing.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Acknowledged {
  readonly submits: Set<string>
  readonly cancels: Set<string>
  /** Bytes of a stream by `job claim stream`. */
  readonly chunks: Map<string, number>
  /** Exit codes by job; undefined where the attempt had none. */
  readonly finals: Map<string, number | undefined>
}

export interface Recorder {
  readonly url: string
  /** What was acknowledged since the last time. */
  take(): Acknowledged
  close(): Promise<void>
}

const nothing = (): Acknowledged => ({ submits: new Set(), cancels: new Set(), chunks: new Map(), finals: new Map() })

export async function openRecorder(origin: string): Promise<Recorder> {
  let seen = nothing()
  const { hostname, port } = new URL(origin)
  const server = createServer(async (asked, answer) => {
    const call = { hostname, port, method: asked.method, path: asked.url, headers: asked.headers, agent: false }
    try {
      const body = await bytesOf(asked)
      const onward = request(call).end(body)
      answer.once('close', () => onward.destroy())
      const [reply] = (await once(onward, 'response')) as [IncomingMessage]
      const text = await bytesOf(reply)
      // Before anybody hears of it: from here on it counts.
      if (reply.statusCode && reply.statusCode < 300) note(seen, `${asked.method} ${asked.url}`, { body, reply: text })
      answer.writeHead(reply.statusCode ?? 502, reply.headers).end(text)
    } catch {
      answer.destroy()
    }
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    take() {
      const taken = seen
      seen = nothing()
      return taken
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of message) pieces.push(piece)
  return Buffer.concat(pieces)
}

interface Word {
  readonly job_id: string
  readonly state: string
  readonly rc?: number
}

function note(
  seen: Acknowledged,
  call: string,
  { body, reply }: { readonly body: Buffer; readonly reply: Buffer },
): void {
  const [, job = '', verb] = /^POST \/(?:v1|orch)\/jobs\/(job_\w+)\/(\w+)/.exec(call) ?? []
  const told = () => JSON.parse(reply.toString())
  if (call === 'POST /v1/jobs') for (const { id } of told().items ?? [told()]) seen.submits.add(id)
  else if (verb === 'cancel') seen.cancels.add(job)
  else if (verb === 'chunk') {
    const query = new URL(call.slice('POST '.length), 'http://pond').searchParams
    seen.chunks.set(`${job} ${query.get('claim')} ${query.get('stream')}`, told().committed)
  } else if (call === 'POST /orch/states') {
    const words: readonly Word[] = JSON.parse(body.toString()).words
    for (const [index, { outcome }] of told().outcomes.entries()) {
      const word = words[index]
      if (word?.state === 'final' && /accepted|idempotent/.test(outcome)) seen.finals.set(word.job_id, word.rc)
    }
  }
}
