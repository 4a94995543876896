// A TCP proxy in front of pond that writes down every byte of both directions. It understands none of them.
import { createWriteStream, mkdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'

export interface Wiretap {
  /** Where to call instead. */
  readonly url: string
  /** Hangs up on everyone, and resolves once all that was heard is on disk. */
  close(): Promise<void>
}

/** Two files for each connection, `folder/N.up` and `folder/N.down`: a byte stream has no gaps in which a word could hide. */
export async function tapWire(origin: string, folder: string): Promise<Wiretap> {
  mkdirSync(folder)
  const { hostname, port } = new URL(origin)
  const sockets = new Set<Socket>()
  const written: Promise<void>[] = []
  let count = 0
  const record = (from: Socket, path: string) => {
    const file = createWriteStream(path)
    // Before the other side gets it, so that nothing is passed on that is not heard.
    from.on('data', (bytes) => file.write(bytes)).once('close', () => file.end())
    written.push(new Promise((resolve, reject) => file.once('close', resolve).once('error', reject)))
  }
  const server = createServer({ noDelay: true }, (caller) => {
    const callee = connect({ host: hostname, port: Number(port), noDelay: true })
    const path = join(folder, `${count++}`)
    record(caller, `${path}.up`)
    record(callee, `${path}.down`)
    const ways = [
      [caller, callee],
      [callee, caller],
    ] as const
    for (const [from, to] of ways) {
      sockets.add(from)
      // What ends well was passed on whole, so only a broken side takes the other with it.
      from.once('error', () => to.destroy()).once('close', () => sockets.delete(from))
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
      await Promise.all(written)
    },
  }
}
