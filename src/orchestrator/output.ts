// The streams of one claim together: redacted, spooled, sent, capped with a tail, and reported as the final word tells them.
import { join } from 'node:path'
import type { Client } from '../client/contract.ts'
import { isArtifact, type StreamName, streamName, streamNames } from '../protocol/field.ts'
import { limit } from '../protocol/limit.ts'
import type { ArtifactProblem, StreamReport } from '../protocol/word.ts'
import type { Interruption } from '../seal/segment.ts'
import type { Clock } from '../system/clock.ts'
import type { Disk, DiskFile } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { ClaimFacts, Spooled } from './journal-entry.ts'
import type { Privacy } from './privacy.ts'
import type { Redactor } from './redact.ts'
import { createSender, type Sender, type Sent } from './sender.ts'
import { createSpool, type Spool } from './spool.ts'

type Channel = 'stdout' | 'stderr'

export type Reports = Partial<Record<StreamName, StreamReport>>

export interface Output {
  /** As in the executor's Watch: a returned promise is back-pressure. */
  write(channel: Channel, bytes: Buffer): void | Promise<void>
  /** Takes a whole file, at the end of the job; answers why it could not. */
  addArtifact(index: number, bytes: AsyncIterable<Buffer>): Promise<ArtifactProblem | undefined>
  /** No more comes. Resolves when spools and tails are whole, so that a restarted swarm can go on from them. */
  end(): Promise<void>
  spooled(): Promise<Spooled>
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
  readonly privacy: Privacy
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
  readonly redactor: Redactor
  sender: Sender
  /** A former life of swarm left it, and it may lack bytes that it should have kept. */
  readonly doubtful: boolean
}

/** What a former life of swarm left of a stream. */
interface LeftLine {
  readonly file: DiskFile
  readonly leftOut: number
  readonly doubtful: boolean
  /** Sealed and without an end: where the next segment begins. */
  readonly after?: Interruption
}

export function createOutput(parts: OutputParts): ClaimOutput {
  return new ClaimOutput(parts, 0)
}

/** Sealed streams end with a frame of their own, which may take as much as a segment's least. */
const TAIL_CAP_BYTES = 2 * limit.tailBytes

export class ClaimOutput implements Output {
  readonly #parts: OutputParts
  readonly #lines = new Map<StreamName, Line>()
  #order: number

  constructor(parts: OutputParts, firstOrder: number) {
    this.#parts = parts
    this.#order = firstOrder
  }

  addLine(name: StreamName, left?: LeftLine): Line {
    const { claim, clock, disk, folder, log, ready, privacy } = this.#parts
    // What a job leaves behind never decides how it ended.
    const failed = isArtifact(name)
      ? (error: unknown) => log.warn('artifact_lost', { claim_id: claim.claim_id, stream: name, error: String(error) })
      : this.#parts.failed
    const spool = createSpool({
      clock,
      encoder: privacy.encoder(name, this.#capOf(name), left?.after),
      async open() {
        await ready()
        return disk.open(join(folder, fileOf(name)))
      },
      nextOrder: () => this.#order++,
      grew: () => this.#lines.get(name)?.sender.grew(),
      failed,
      ...(left && { resume: { file: left.file, leftOut: left.leftOut } }),
    })
    const line: Line = {
      spool,
      // What goes into a tail was redacted on its way, and an artifact is never rewritten.
      redactor: isChannel(name) ? privacy.redactor() : asItIs,
      sender: this.#send(name, spool, 0),
      doubtful: left?.doubtful ?? false,
    }
    this.#lines.set(name, line)
    return line
  }

  /**
   * Ends a stream that a former life left open, once pond has just what the spool holds. A failing disk may have left less than pond has:
   * what is sealed now would then stand behind bytes that it does not follow, and nothing from there on would open.
   */
  async endLeft(name: StreamName): Promise<void> {
    const line = this.#lines.get(name)
    const sent = await line?.sender.finish()
    if (!line || sent?.end !== 'sent') return
    await line.spool.end()
    line.sender = this.#send(name, line.spool, sent.committed)
  }

  #capOf(name: StreamName): number {
    const { stream_bytes, artifact_bytes } = this.#parts.claim
    if (isArtifact(name)) return artifact_bytes
    return isChannel(name) ? stream_bytes : TAIL_CAP_BYTES
  }

  #send(name: StreamName, spool: Spool, from: number): Sender {
    const { client, clock, log, claim, signal } = this.#parts
    return createSender({ client, clock, log, claim, name, spool, from, signal })
  }

  write(channel: Channel, bytes: Buffer): void | Promise<void> {
    const { redactor, spool } = this.#lines.get(channel) ?? this.addLine(channel)
    return spool.write(redactor.push(bytes))
  }

  async addArtifact(index: number, bytes: AsyncIterable<Buffer>): Promise<ArtifactProblem | undefined> {
    const { spool } = this.addLine(`artifact/${index}`)
    let isWhole = false
    let broke = false
    try {
      for await (const part of bytes) await spool.write(part)
      await spool.end()
      broke = spool.broken()
      isWhole = !broke && spool.produced() === spool.size()
    } finally {
      if (!isWhole) await spool.discard()
    }
    if (isWhole) return undefined
    return broke ? 'no_room' : 'too_large'
  }

  async end(): Promise<void> {
    for (const channel of ['stdout', 'stderr'] as const) {
      const line = this.#lines.get(channel)
      // What was left in doubt has its end by now, or must not get one.
      if (!line || line.doubtful) continue
      await line.spool.write(line.redactor.flush())
      await line.spool.end()
      const leftOut = line.spool.produced() - line.spool.size()
      if (leftOut > 0) await this.#addTail(channel, line, leftOut)
    }
  }

  /** Of the last `most` bytes, which pond does not have. */
  async #addTail(channel: Channel, { spool }: Line, most: number): Promise<void> {
    const name = `${channel}.tail` as const
    const bytes = spool.tail(most)
    if (this.#lines.has(name) || spool.broken() || bytes.length === 0) return
    const tail = this.addLine(name)
    await tail.spool.write(bytes)
    await tail.spool.end()
  }

  async spooled(): Promise<Spooled> {
    const streams = [...this.#lines].map(async ([name, line]) => {
      const { spool } = line
      const kept = spool.size()
      const told = { kept, left_out: spool.produced() - kept, sha256: await spool.sha256(kept) }
      return [name, isDoubtful(line) ? { ...told, doubtful: true } : told] as const
    })
    return Object.fromEntries(await Promise.all(streams))
  }

  async deliver(): Promise<Reports | undefined> {
    const reports: Reports = {}
    for (const { sender } of this.#lines.values()) void sender.finish()
    for (const name of [...streamNames, ...[...this.#lines.keys()].filter(isArtifact)]) {
      const line = this.#lines.get(name)
      if (!line) continue
      const sent = await line.sender.finish()
      if (sent.end === 'full' && isChannel(name)) {
        await this.#addTail(name, line, line.spool.produced() - sent.committed)
      }
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

/** The name of a spool's file, and back. */
export const fileOf = (name: StreamName) => name.replace('/', '.')
export function streamOf(file: string): StreamName | undefined {
  const name = streamName.safeParse(file.replace(/^artifact\./, 'artifact/'))
  return name.success ? name.data : undefined
}

const asItIs: Redactor = { push: (bytes) => bytes, held: () => 0, flush: () => Buffer.alloc(0), hits: () => 0 }

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

/** Its spool lacks bytes that it should have kept, or may lack some. */
const isDoubtful = ({ spool, doubtful }: Line) => doubtful || spool.broken()

function endOf(line: Line, { end, committed }: Sent): StreamReport['end'] {
  if (isDoubtful(line) || end === 'lost' || end === 'unsent') return 'lost'
  return end === 'sent' && committed === line.spool.produced() ? 'complete' : 'capped'
}
