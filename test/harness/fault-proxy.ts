// A TCP proxy in front of pond that breaks connections on a seed, as the boxes between two machines do. It understands no byte of them.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { systemClock } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'

/**
 * `reset`: in the middle of a request both ends get a RST · `stall`: nothing passes any more and nobody is told, also not of a close ·
 * `cut`: a reply ends in its middle · `delay`: each piece is held up · `swallow`: pond did what was asked, and its reply is lost ·
 * `bad_gateway`: the proxy itself answers, with a page.
 */
export const proxyFaults = ['reset', 'stall', 'cut', 'delay', 'swallow', 'bad_gateway'] as const
export type ProxyFault = (typeof proxyFaults)[number]

export interface FaultProxy {
  /** Where to call instead. */
  readonly url: string
  /** How often each fault was felt by a connection. */
  readonly fired: Readonly<Record<ProxyFault, number>>
  /** No new faults. A connection that stalls goes on to do so. */
  calm(): void
  /** Faults again. */
  rouse(): void
  /** Nothing passes in either direction, on old and new connections, until `heal`. */
  blackhole(): void
  heal(): void
  close(): Promise<void>
}

export interface FaultProxyOptions {
  readonly origin: string
  readonly random: Random
  /** Out of a connection's lives so many meet a fault, each kind by its share. */
  readonly shares: Readonly<Partial<Record<ProxyFault, number>>>
  /** A fault comes behind at most so many bytes of a connection. */
  readonly behindBytes?: number
  readonly delayMs?: number
}

const page = '<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>'
const badGateway = `HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: ${page.length}\r\nconnection: close\r\n\r\n${page}`

/** A proxy without a fault passes everything. */
export async function openFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const proxy = new Links(options)
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (caller) => proxy.accept(caller))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fired: proxy.fired,
    calm: () => {
      proxy.isCalm = true
    },
    rouse: () => {
      proxy.isCalm = false
    },
    blackhole: () => {
      proxy.isBlack = true
    },
    heal: () => proxy.heal(),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of proxy.sockets) socket.destroy()
      await closed
    },
  }
}

class Links {
  readonly sockets = new Set<Socket>()
  readonly lossy = new Set<Link>()
  readonly fired = Object.fromEntries(proxyFaults.map((fault) => [fault, 0])) as Record<ProxyFault, number>
  isCalm = false
  isBlack = false
  readonly #options: Required<FaultProxyOptions>

  constructor(options: FaultProxyOptions) {
    this.#options = { behindBytes: 32 * 1024, delayMs: 300, ...options }
  }

  accept(caller: Socket): void {
    const { hostname, port } = new URL(this.#options.origin)
    const callee = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true })
    const link = new Link(this, { caller, callee })
    for (const socket of [caller, callee]) {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
    }
    link.join()
  }

  /** A black hole keeps nothing: a connection that lost something in it is of no more use, and is broken. */
  heal(): void {
    this.isBlack = false
    for (const link of this.lossy) link.break()
    this.lossy.clear()
  }

  drawFault(): ProxyFault | undefined {
    if (this.isCalm) return undefined
    let left = this.#options.random.number()
    for (const fault of proxyFaults) {
      left -= this.#options.shares[fault] ?? 0
      if (left < 0) return fault
    }
    return undefined
  }

  drawBytes(): number {
    return Math.floor(this.#options.random.number() * this.#options.behindBytes)
  }

  drawDelayMs(): number {
    return this.#options.random.number() * this.#options.delayMs
  }

  note(fault: ProxyFault): void {
    this.fired[fault]++
  }
}

/** One connection: both of its halves, the fault that waits for it, and after how many bytes. */
class Link {
  readonly #proxy: Links
  readonly #caller: Socket
  readonly #callee: Socket
  #fault: ProxyFault | undefined
  #left: number
  #isStalled = false

  constructor(proxy: Links, { caller, callee }: { readonly caller: Socket; readonly callee: Socket }) {
    this.#proxy = proxy
    this.#caller = caller
    this.#callee = callee
    this.#fault = proxy.drawFault()
    this.#left = proxy.drawBytes()
  }

  join(): void {
    const [caller, callee] = [this.#caller, this.#callee]
    caller.on('data', (piece: Buffer) => this.#up(piece))
    callee.on('data', (piece: Buffer) => this.#down(piece))
    for (const [from, to] of [[caller, callee] as const, [callee, caller] as const]) {
      from.on('end', () => this.#isDeaf() || to.end())
      from.on('error', () => this.#isDeaf() || to.resetAndDestroy())
      from.on('close', () => this.#isDeaf() || to.destroySoon())
    }
  }

  #isDeaf(): boolean {
    if (this.#proxy.isBlack) this.#proxy.lossy.add(this)
    return this.#isStalled || this.#proxy.isBlack
  }

  #up(piece: Buffer): void {
    if (this.#isDeaf()) return
    const due = this.#due(piece)
    if (due === 'bad_gateway') this.#hangUp(due, badGateway)
    else if (due === 'reset') this.#fail(due)
    else if (due === 'stall') this.#stall()
    else this.#pass(this.#caller, { to: this.#callee, piece })
  }

  #down(piece: Buffer): void {
    if (this.#isDeaf()) return
    const due = this.#due(piece)
    if (due === 'cut') this.#hangUp(due, piece.subarray(0, Math.max(1, piece.length >> 1)))
    else if (due === 'swallow') this.#fail(due)
    else if (due === 'stall') this.#stall()
    else this.#pass(this.#callee, { to: this.#caller, piece })
  }

  /** The fault whose time has come with this piece. */
  #due(piece: Buffer): ProxyFault | undefined {
    if (this.#proxy.isCalm) return undefined
    this.#left -= piece.length
    return this.#left < 0 ? this.#fault : undefined
  }

  #pass(from: Socket, { to, piece }: { readonly to: Socket; readonly piece: Buffer }): void {
    const isLate = this.#fault === 'delay' && this.#left < 0 && !this.#proxy.isCalm
    if (!isLate) {
      if (!to.write(piece)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
      return
    }
    this.#proxy.note('delay')
    from.pause()
    systemClock.after(this.#proxy.drawDelayMs(), () => {
      if (to.writable && !this.#isDeaf()) to.write(piece)
      from.resume()
    })
  }

  #stall(): void {
    this.#proxy.note('stall')
    this.#isStalled = true
  }

  #fail(fault: ProxyFault): void {
    this.#proxy.note(fault)
    this.break()
  }

  break(): void {
    this.#caller.resetAndDestroy()
    this.#callee.resetAndDestroy()
  }

  /** A close in good order, as far as the caller can tell. */
  #hangUp(fault: ProxyFault, last: string | Uint8Array): void {
    this.#proxy.note(fault)
    this.#isStalled = true
    this.#caller.end(last)
    this.#callee.destroy()
  }
}
