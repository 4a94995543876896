// Three network namespaces on one machine: pond, a router that lets nothing in, and a worker behind it. Faults are the router's, and each proves that it fired.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { until } from './process-rig.ts'

/**
 * `blackhole`: nothing passes. `deaf`: nothing reaches the worker. `mute`: nothing leaves it. `loss`: one packet of five is lost. `reset`: pond's end of
 * every connection is reset. `forget`: the router loses its table. `latency`: every packet takes 300 ms. `link`: the worker's cable is out.
 */
export const faultNames = ['blackhole', 'deaf', 'mute', 'loss', 'reset', 'forget', 'latency', 'link'] as const

export type FaultName = (typeof faultNames)[number]

export type Place = 'pond' | 'router' | 'worker'

export interface Nat {
  /** Where the worker finds pond. */
  readonly pondAddress: string
  /** Where this process finds pond: over a link of its own, which has no faults. */
  readonly consumerAddress: string
  /** Words in front of a program that shall live there. */
  at(place: Place): readonly string[]
  /** Resolves once it holds, with what ends it and says what fired; that rejects if nothing did. */
  begin(name: FaultName): Promise<() => Promise<string>>
  /** Lets no more than so much a second of what the worker sends through, and answers what takes that back. */
  throttle(bytesPerSecond: number): Promise<() => Promise<void>>
  /** Bytes that the worker sent so far. */
  sentBytes(): Promise<number>
  /** Connections of the worker with bytes that pond's machine has taken and pond has not. */
  unread(): Promise<number>
  /** Packets with which something in pond's namespace would have opened a connection; each was dropped. */
  openings(): Promise<number>
  /** Milliseconds until the other end answers a first packet, even with a refusal; undefined when it does not. */
  dial(from: Place, to: string, waitMs: number): Promise<number | undefined>
  close(): void
}

const POND = '203.0.113.2'
const ROUTER = { outside: '203.0.113.1', inside: '10.9.0.1' } as const
const WORKER = '10.9.0.2'
const LATENCY_MS = 300
const DIAL_MS = 5000
/** Long enough for a packet on this machine, short enough to wait for one that never comes. */
const REFUSED_MS = 300

/** `cut` holds what is broken now; what the router does on its best day is in the others. */
const routerRules = `
table ip nat {
  chain out { type nat hook postrouting priority 100; oifname "p1" masquerade; }
}
table ip pass {
  counter sent { }
  counter strange { }
  counter refused { }
  chain through {
    type filter hook forward priority 0; policy drop;
    iifname "w1" counter name sent
    ct state invalid counter name strange drop
    ct state established,related accept
    iifname "w1" oifname "p1" accept
    counter name refused drop
  }
}
table ip cut {
  counter dropped { }
  chain through { type filter hook forward priority -10; }
}
`

/** The first packet of each connection that pond's side would open, to anybody, and whatever it would ask of a name server. */
const pondRules = `
table inet quiet {
  counter openings { }
  chain out {
    type filter hook output priority 0;
    tcp flags & (syn | ack) == syn counter name openings drop
    meta l4proto udp counter name openings drop
  }
}
`

/** A port where nobody listens: its refusal takes one round trip and disturbs nobody. */
const dialProgram = `
import socket, sys, time
began = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 9), float(sys.argv[2]) / 1000)
except ConnectionRefusedError:
    pass
print(round((time.monotonic() - began) * 1000))
`

const latencyProgram = fileURLToPath(new URL('latency.py', import.meta.url))

let made = 0

const up = new Set<Nat>()
process.once('exit', () => {
  for (const nat of up) nat.close()
})

/** Up in a moment, and shown to be what it says: the worker reaches pond, and the router refuses the way back. Needs root. */
export async function createNat(): Promise<Nat> {
  removeLeft()
  const name = `${PREFIX}${process.pid}-${++made}`
  const nat = new Namespaces(name, `pr${process.pid}.${made}`)
  up.add(nat)
  try {
    await nat.build()
  } catch (error) {
    nat.close()
    throw error
  }
  return nat
}

const PREFIX = 'pond-rig-'
const FOLDER = '/run/netns'

/** Of runs that were killed. */
function removeLeft(): void {
  const left = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.startsWith(PREFIX)) : []
  for (const name of left)
    if (!existsSync(`/proc/${name.slice(PREFIX.length).split('-')[0]}`)) spawnSync('ip', ['netns', 'delete', name])
}

class Namespaces implements Nat {
  readonly pondAddress = POND
  readonly consumerAddress: string
  readonly #name: string
  /** This process's end of the link to pond. */
  readonly #link: string
  readonly #linkAddress: string

  constructor(name: string, link: string) {
    const [mine, ponds] = freePair()
    this.#name = name
    this.#link = link
    this.#linkAddress = mine
    this.consumerAddress = ponds
  }

  async build(): Promise<void> {
    for (const place of ['pond', 'router', 'worker'] as const) {
      await run(['ip', 'netns', 'add', this.#space(place)])
      await this.#in(place, 'ip link set lo up')
    }
    await this.#in('pond', `ip link add p0 type veth peer name p1 netns ${this.#space('router')}`)
    await this.#in('worker', `ip link add w0 type veth peer name w1 netns ${this.#space('router')}`)
    await this.#in('pond', `ip link add c0 type veth peer name ${this.#link} netns ${process.pid}`)
    await this.#plug('pond', 'p0', `${POND}/24`)
    await this.#plug('router', 'p1', `${ROUTER.outside}/24`)
    await this.#plug('router', 'w1', `${ROUTER.inside}/24`)
    await this.#plug('pond', 'c0', `${this.consumerAddress}/30`)
    await run(['ip', 'address', 'add', `${this.#linkAddress}/30`, 'dev', this.#link])
    await run(['ip', 'link', 'set', this.#link, 'up'])
    await this.#plugWorker()
    await this.#in('router', 'sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_tcp_loose=0')
    await this.#rules('router', routerRules)
    await this.#prove()
    await this.#rules('pond', pondRules)
  }

  async #plug(place: Place, link: string, address: string): Promise<void> {
    await this.#in(place, `ip address replace ${address} dev ${link}`)
    await this.#in(place, `ip link set ${link} up`)
  }

  /** The kernel forgets its routes when the cable is out. */
  async #plugWorker(): Promise<void> {
    await this.#plug('worker', 'w0', `${WORKER}/24`)
    await this.#in('worker', `ip route replace default via ${ROUTER.inside}`)
  }

  /** Pond's side even knows the way to the worker: it is the router that refuses. */
  async #prove(): Promise<void> {
    await this.#in('pond', `ip route add ${WORKER} via ${ROUTER.outside}`)
    const there = await this.dial('worker', POND, DIAL_MS)
    const back = await this.dial('pond', WORKER, REFUSED_MS)
    const refused = await this.#packets('router', 'ip pass', 'refused')
    if (there === undefined) throw new Error('the worker does not reach pond')
    if (back !== undefined || refused === 0) throw new Error('the router does not refuse what comes from outside')
  }

  at(place: Place): readonly string[] {
    return ['nsenter', `--net=${FOLDER}/${this.#space(place)}`]
  }

  begin(name: FaultName): Promise<() => Promise<string>> {
    switch (name) {
      case 'blackhole':
        return this.#drop('')
      case 'deaf':
        return this.#drop('iifname "p1"')
      case 'mute':
        return this.#drop('iifname "w1"')
      case 'loss':
        return this.#drop('numgen random mod 100 < 20')
      case 'reset':
        return this.#reset()
      case 'forget':
        return this.#forget()
      case 'latency':
        return this.#delay()
      case 'link':
        return this.#unplug()
      default:
        return name satisfies never
    }
  }

  async #drop(which: string): Promise<() => Promise<string>> {
    const before = await this.#packets('router', 'ip cut', 'dropped')
    await this.#rules('router', `add rule ip cut through ${which} counter name dropped drop`)
    const dropped = async () => (await this.#packets('router', 'ip cut', 'dropped')) - before || undefined
    return async () => {
      const count = await until('a dropped packet', dropped)
      await this.#rules('router', 'flush chain ip cut through')
      return `${count} packets dropped`
    }
  }

  async #reset(): Promise<() => Promise<string>> {
    const killed = await this.#in(
      'pond',
      `ss --kill --no-header --numeric --tcp state established dst ${ROUTER.outside}`,
    )
    const count = killed.split('\n').filter((line) => line.includes(ROUTER.outside)).length
    return async () => {
      if (count === 0) throw new Error('there was no connection to reset')
      return `${count} connections reset`
    }
  }

  /** Nothing heals it: what the router does not know is never let through again, and whoever sends has to find that out. */
  async #forget(): Promise<() => Promise<string>> {
    const before = await this.#packets('router', 'ip pass', 'strange')
    await this.#in('router', 'conntrack --flush')
    const strange = async () => (await this.#packets('router', 'ip pass', 'strange')) - before || undefined
    return async () => `${await until('a packet that the router does not know', strange)} strange packets dropped`
  }

  async #delay(): Promise<() => Promise<string>> {
    const rule = 'FORWARD --jump NFQUEUE --queue-num 0 --queue-bypass'
    const [command = '', ...words] = [...this.at('router'), 'python3', latencyProgram, `${LATENCY_MS}`]
    const program = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(program, 'exit')
    await Promise.race([once(program.stdout, 'data'), exited])
    await this.#in('router', `iptables --table mangle --append ${rule}`)
    const tookMs = await this.dial('worker', POND, DIAL_MS)
    return async () => {
      await this.#in('router', `iptables --table mangle --delete ${rule}`)
      // What waits in the queue is lost with it.
      await sleep(systemClock, 2 * LATENCY_MS)
      program.kill()
      await exited
      if (tookMs === undefined || tookMs < 2 * LATENCY_MS) throw new Error(`a round trip took ${tookMs} ms only`)
      return `a round trip took ${tookMs} ms`
    }
  }

  async #unplug(): Promise<() => Promise<string>> {
    await this.#in('worker', 'ip link set w0 down')
    const tookMs = await this.dial('worker', POND, REFUSED_MS)
    return async () => {
      await this.#plugWorker()
      if (tookMs !== undefined) throw new Error('pond answered without a link')
      return 'pond could not be dialled'
    }
  }

  async throttle(bytesPerSecond: number): Promise<() => Promise<void>> {
    await this.#in('router', `tc qdisc add dev p1 root tbf rate ${bytesPerSecond}bps burst 32kb latency 200ms`)
    return async () => {
      await this.#in('router', 'tc qdisc delete dev p1 root')
    }
  }

  async sentBytes(): Promise<number> {
    return (await this.#counter('router', 'ip pass', 'sent')).bytes
  }

  async unread(): Promise<number> {
    const sockets = await this.#in('pond', `ss --no-header --numeric --tcp state established dst ${ROUTER.outside}`)
    return sockets.split('\n').filter((line) => /^[1-9]/.test(line)).length
  }

  openings(): Promise<number> {
    return this.#packets('pond', 'inet quiet', 'openings')
  }

  async dial(from: Place, to: string, waitMs: number): Promise<number | undefined> {
    const words = [...this.at(from), 'python3', '-c', dialProgram, to, `${waitMs}`]
    return run(words).then(Number, () => undefined)
  }

  close(): void {
    up.delete(this)
    for (const place of ['worker', 'router', 'pond'] as const) spawnSync('ip', ['netns', 'delete', this.#space(place)])
  }

  #space(place: Place): string {
    return `${this.#name}-${place}`
  }

  #in(place: Place, command: string): Promise<string> {
    return run([...this.at(place), ...command.split(' ')])
  }

  #rules(place: Place, text: string): Promise<string> {
    return run([...this.at(place), 'nft', text])
  }

  async #packets(place: Place, table: string, name: string): Promise<number> {
    return (await this.#counter(place, table, name)).packets
  }

  async #counter(place: Place, table: string, name: string): Promise<{ packets: number; bytes: number }> {
    const told = JSON.parse(await this.#in(place, `nft --json list counter ${table} ${name}`))
    const found = told.nftables.find((it: { counter?: unknown }) => it.counter !== undefined)
    return found.counter
  }
}

const execute = promisify(execFile)

async function run([command = '', ...words]: readonly string[]): Promise<string> {
  const { stdout } = await execute(command, words)
  return stdout
}

/** Two neighbouring addresses of the range for benchmarks that nothing on this machine has; further processes begin elsewhere. */
function freePair(): readonly [string, string] {
  const taken = new Set(Object.values(networkInterfaces()).flatMap((links) => links?.map(({ address }) => address)))
  for (let block = process.pid; ; block++) {
    const [high, low] = [(block >> 6) & 0xff, (block & 0x3f) << 2]
    const [mine, ponds] = [`198.18.${high}.${low + 1}`, `198.18.${high}.${low + 2}`] as const
    if (!taken.has(mine) && !given.has(mine)) {
      given.add(mine)
      return [mine, ponds]
    }
  }
}

/** By this process, before they stand in the list of the kernel. */
const given = new Set<string>()
