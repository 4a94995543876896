// The streams of one claim together: spooled, sent, capped with a tail, and reported as the final word tells them.
import { join } from 'node:path'
import type { Client } from '../client/contract.ts'
import type { StreamName } from '../protocol/field.ts'
import type { StreamReport } from '../protocol/word.ts'
import type { Clock } from '../system/clock.ts'
import type { Disk, DiskFile } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { ClaimFacts } from './journal-entry.ts'
import { createSender, type Sender, type Sent } from './sender.ts'
import { createSpool, type Spool } from './spool.ts'

type Channel = 'stdout' | 'stderr'

const names = ['stdout', 'stderr', 'stdout.tail', 'stderr.tail'] as const satisfies readonly StreamName[]

export type Reports = Partial<Record<StreamName, StreamReport>>

export interface Output {
  /** As in the executor's Watch: a returned promise is back-pressure. */
  write(channel: Channel, bytes: Buffer): void | Promise<void>
  /** No more comes. Resolves when spools and tails are whole, so that a restarted swarm can go on from them. */
  end(): Promise<void>
  /** Bytes that the process wrote, by stream. */
  produced(): Readonly<Record<string, number>>
  /** Sends what is left and resolves when pond has it or never will. `undefined`: swarm ends first. */
  deliver(): Promise<Reports | undefined>
  /** Goes on from where pond says that it stands. */
  rewind(committed: Readonly<Record<string, unknown>>): void
  close(): Promise<void>
}

export interface OutputParts {
  readonly client: Client
  readonly clock: Clock
  readonly disk: Disk
  readonly log: Log
  readonly claim: ClaimFacts
  /** Where the spools are. */
  readonly folder: string
  /** Resolves when that folder exists. */
  readonly ready: () => Promise<void>
  readonly signal: AbortSignal
  /** The disk took no more. */
  readonly failed: (error: unknown) => void
}

interface Line {
  readonly spool: Spool
  sender: Sender
  /** The spool may lack, or does lack, bytes that it should have kept. */
  readonly doubtful: boolean
}

export function createOutput(parts: OutputParts): Output {
  return new ClaimOutput(parts, 0)
}

/** From the spools that a former life of swarm left. Without `produced` the process was lost with that swarm. */
export async function resumeOutput(
  parts: OutputParts,
  produced: Readonly<Record<string, number>> | undefined,
): Promise<Output> {
  // Orders go on far above any count of pieces, so they still rise.
  const output = new ClaimOutput(parts, parts.clock.now())
  const there = new Set(await parts.disk.list(parts.folder))
  for (const name of names) {
    if (!there.has(name) && !produced?.[name]) continue
    const file = await openLeft(parts, name)
    output.addLine(name, { file, produced: produced && (produced[name] ?? file.size()) })
  }
  return output
}

/** A power cut can take a whole spool whose bytes the journal counted; one that cannot be opened is as good as gone. */
async function openLeft({ claim, disk, folder, log, ready }: OutputParts, name: StreamName): Promise<DiskFile> {
  try {
    await ready()
    return await disk.open(join(folder, name))
  } catch (error) {
    log.warn('spool_gone', { claim_id: claim.claim_id, stream: name, error: String(error) })
    return noFile
  }
}

const noFile: DiskFile = {
  size: () => 0,
  append: async () => {},
  read: async () => 0,
  sync: async () => {},
  close: async () => {},
}

class ClaimOutput implements Output {
  readonly #parts: OutputParts
  readonly #lines = new Map<StreamName, Line>()
  #order: number

  constructor(parts: OutputParts, firstOrder: number) {
    this.#parts = parts
    this.#order = firstOrder
  }

  addLine(name: StreamName, left?: { readonly file: DiskFile; readonly produced: number | undefined }): Line {
    const { clock, disk, claim, folder, ready, failed } = this.#parts
    const capBytes = isChannel(name) ? claim.stream_bytes : Number.MAX_SAFE_INTEGER
    const spool = createSpool({
      clock,
      capBytes,
      async open() {
        await ready()
        return disk.open(join(folder, name))
      },
      nextOrder: () => this.#order++,
      grew: () => this.#lines.get(name)?.sender.grew(),
      failed,
      ...(left && { resume: { file: left.file, produced: left.produced ?? left.file.size() } }),
    })
    const doubtful = left !== undefined && lacks(left, capBytes)
    const line = { spool, sender: this.#send(name, spool, 0), doubtful }
    this.#lines.set(name, line)
    return line
  }

  #send(name: StreamName, spool: Spool, from: number): Sender {
    const { client, clock, log, claim, signal } = this.#parts
    return createSender({ client, clock, log, claim, name, spool, from, signal })
  }

  write(channel: Channel, bytes: Buffer): void | Promise<void> {
    return (this.#lines.get(channel) ?? this.addLine(channel)).spool.write(bytes)
  }

  async end(): Promise<void> {
    const { stream_bytes } = this.#parts.claim
    for (const channel of ['stdout', 'stderr'] as const) {
      const line = this.#lines.get(channel)
      await line?.spool.settled()
      if (line && line.spool.produced() > stream_bytes) await this.#addTail(channel, line, stream_bytes)
    }
  }

  async #addTail(channel: Channel, { spool }: Line, from: number): Promise<void> {
    const name = `${channel}.tail` as const
    if (this.#lines.has(name) || spool.broken()) return
    const bytes = await spool.tail(from).catch(() => Buffer.alloc(0))
    if (bytes.length === 0) return
    const tail = this.addLine(name)
    await tail.spool.write(bytes)
    await tail.spool.settled()
  }

  produced(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#lines].map(([name, { spool }]) => [name, spool.produced()]))
  }

  async deliver(): Promise<Reports | undefined> {
    const reports: Reports = {}
    for (const { sender } of this.#lines.values()) void sender.finish()
    for (const name of names) {
      const line = this.#lines.get(name)
      if (!line) continue
      const sent = await line.sender.finish()
      if (sent.end === 'full' && isChannel(name)) await this.#addTail(name, line, sent.committed)
      reports[name] = await report(line, sent)
    }
    return this.#parts.signal.aborted ? undefined : reports
  }

  rewind(committed: Readonly<Record<string, unknown>>): void {
    for (const [name, line] of this.#lines) {
      const at = committed[name]
      if (typeof at === 'number' && at < line.spool.size()) line.sender = this.#send(name, line.spool, at)
    }
  }

  async close(): Promise<void> {
    for (const { spool } of this.#lines.values()) await spool.close()
  }
}

/** After a restart: the process was lost with its swarm, or a power cut took bytes that were never synced. */
const lacks = ({ file, produced }: { readonly file: DiskFile; readonly produced: number | undefined }, cap: number) =>
  produced === undefined || file.size() < Math.min(produced, cap)

const isChannel = (name: StreamName): name is Channel => name === 'stdout' || name === 'stderr'

async function report(line: Line, sent: Sent): Promise<StreamReport> {
  const { spool } = line
  return {
    bytes: sent.committed,
    sha256: await spool.sha256(sent.committed),
    produced: spool.produced(),
    end: endOf(line, sent),
  }
}

function endOf({ spool, doubtful }: Line, { end, committed }: Sent): StreamReport['end'] {
  if (doubtful || spool.broken() || end === 'lost' || end === 'unsent') return 'lost'
  return end === 'sent' && committed === spool.produced() ? 'complete' : 'capped'
}
