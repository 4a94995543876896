// Calls that wait: each has a connection of its own, and nobody but the caller decides when it ends.
import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import type { Poller } from './poller.ts'

export interface Waiting {
  /** The call was written. */
  readonly sent: Promise<void>
  /** What came back; undefined: the server went away. */
  readonly answered: Promise<unknown>
}

export interface Lot {
  /** Signed where a poller is given. */
  call(path: string, body: object, poller?: Poller): Waiting
  close(): void
}

export function createLot(url: string): Lot {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  return {
    call(path, body, poller) {
      const bytes = Buffer.from(JSON.stringify(body))
      const fresh = () => ({ createdMs: Date.now(), nonce: randomBytes(16) })
      const call = request(url + path, {
        agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(poller && {
            authorization: `Bearer ${poller.token}`,
            ...poller.sign({ method: 'POST', path, search: '', headers: {}, body: bytes }, fresh()),
          }),
        },
      })
      const answered = new Promise<unknown>((resolve, reject) => {
        call.on('error', () => resolve(undefined))
        call.on('response', async (reply) => {
          try {
            const parts: Buffer[] = []
            for await (const part of reply) parts.push(part as Buffer)
            const text = Buffer.concat(parts).toString()
            if (reply.statusCode === 200) resolve(JSON.parse(text))
            else reject(new Error(`${path} was answered ${reply.statusCode}: ${text}`))
          } catch {
            resolve(undefined)
          }
        })
      })
      return { sent: new Promise((resolve) => call.end(bytes, resolve)), answered }
    },
    close: () => agent.destroy(),
  }
}
