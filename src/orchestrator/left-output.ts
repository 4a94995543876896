// The output that a former life of swarm left in its spools: opened again, and brought to an end where its writer died.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { StreamName } from '../protocol/field.ts'
import { findInterruption } from '../seal/interruption.ts'
import type { Interruption } from '../seal/segment.ts'
import type { DiskFile } from '../system/disk.ts'
import type { Spooled, SpooledStream } from './journal-entry.ts'
import { ClaimOutput, fileOf, type OutputParts, streamOf } from './output.ts'

export interface LeftSpools {
  /** Absent when the process was lost with that swarm, in the middle of what it wrote. */
  readonly spooled: Spooled | undefined
  /** The machine ran on, so what was written is there. */
  readonly isSafe: boolean
}

export async function resumeOutput(parts: OutputParts, { spooled, isSafe }: LeftSpools): Promise<ClaimOutput> {
  // Orders go on far above any count of pieces, so they still rise.
  const output = new ClaimOutput(parts, parts.clock.now())
  const there = (await parts.disk.list(parts.folder)).flatMap((file) => streamOf(file) ?? [])
  const told = Object.keys(spooled ?? {}).flatMap((name) => streamOf(fileOf(name as StreamName)) ?? [])
  const open: StreamName[] = []
  for (const name of new Set([...there, ...told])) {
    const file = await openLeft(parts, name)
    const was = spooled?.[name] ?? untold
    const doubtful = was.doubtful === true || !(await isThere(file, was))
    if (doubtful && !isSafe) await cutBlank(file)
    const leftOut = was.left_out + Math.max(0, was.kept - file.size())
    const torn = doubtful && parts.privacy.sealed ? await cutTorn(file) : undefined
    // Bytes that a power cut took may be with pond already, or on their way to it: nothing is put in their place.
    const after = isSafe ? torn : undefined
    output.addLine(name, { file, leftOut, doubtful, ...(after && { after }) })
    if (after) open.push(name)
  }
  await Promise.all(open.map((name) => output.endLeft(name)))
  return output
}

/** Of a process that was lost, which may have had more to write. */
const untold: SpooledStream = { kept: 0, left_out: 0, doubtful: true }

/** One that cannot be opened is as good as gone. */
async function openLeft({ claim, disk, folder, log, ready }: OutputParts, name: StreamName): Promise<DiskFile> {
  try {
    await ready()
    return await disk.open(join(folder, fileOf(name)))
  } catch (error) {
    log.warn('spool_gone', { claim_id: claim.claim_id, stream: name, error: String(error) })
    return noFile
  }
}

/** A power cut can take bytes that the journal counted, or all that was in them. */
async function isThere(file: DiskFile, { kept, sha256 }: SpooledStream): Promise<boolean> {
  if (file.size() < kept) return false
  if (sha256 === undefined) return true
  const hash = createHash('sha256')
  for (let at = 0; at < kept; ) {
    const part = await readPart(file, at, Math.min(kept, at + PART_BYTES))
    if (part.length === 0) return false
    hash.update(part)
    at += part.length
  }
  return hash.digest('hex') === sha256
}

/** Where a length reached the disk before its bytes did, the file ends in zeros. A process may have written such, and one frame in 256 ends in one: they are not missed. */
async function cutBlank(file: DiskFile): Promise<void> {
  for (let end = file.size(); end > 0; ) {
    const from = Math.max(0, end - PART_BYTES)
    const last = (await readPart(file, from, end)).findLastIndex((byte) => byte !== 0)
    end = from + last + 1
    if (last >= 0 || from === 0) return end < file.size() ? file.truncate(end) : undefined
  }
}

const PART_BYTES = 64 * 1024

async function readPart(file: DiskFile, from: number, to: number): Promise<Buffer> {
  const part = Buffer.allocUnsafe(to - from)
  return part.subarray(0, await file.read(from, part))
}

const noFile: DiskFile = {
  size: () => 0,
  append: async () => {},
  read: async () => 0,
  truncate: async () => {},
  sync: async () => {},
  close: async () => {},
}

/** Where the next segment of a sealed spool must begin; part of a frame behind that is cut off. Undefined when nothing is to be added. */
async function cutTorn(file: DiskFile): Promise<Interruption | undefined> {
  if (file.size() === 0) return undefined
  const found = await findInterruption((at, target) => file.read(at, target), file.size())
  if (found === 'ended' || found.at === 0) return undefined
  await file.truncate(found.at)
  return found
}
