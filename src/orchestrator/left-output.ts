// The output that a former life of swarm left in its spools: opened again, and brought to an end where its writer died.
import { join } from 'node:path'
import type { StreamName } from '../protocol/field.ts'
import { findInterruption } from '../seal/interruption.ts'
import type { Interruption } from '../seal/segment.ts'
import type { DiskFile } from '../system/disk.ts'
import type { Spooled } from './journal-entry.ts'
import { ClaimOutput, fileOf, type OutputParts, streamOf } from './output.ts'

/** Without `spooled` the process was lost with that swarm, in the middle of what it wrote. */
export async function resumeOutput(parts: OutputParts, spooled: Spooled | undefined): Promise<ClaimOutput> {
  // Orders go on far above any count of pieces, so they still rise.
  const output = new ClaimOutput(parts, parts.clock.now())
  const there = (await parts.disk.list(parts.folder)).flatMap((file) => streamOf(file) ?? [])
  const told = Object.keys(spooled ?? {}).flatMap((name) => streamOf(fileOf(name as StreamName)) ?? [])
  for (const name of new Set([...there, ...told])) {
    const file = await openLeft(parts, name)
    const { kept, left_out } = spooled?.[name] ?? { kept: undefined, left_out: 0 }
    // A power cut can take bytes that the journal counted; a process that was lost may have had more to write.
    const doubtful = kept === undefined || file.size() < kept
    const leftOut = left_out + Math.max(0, (kept ?? 0) - file.size())
    const after = doubtful && parts.privacy.sealed ? await cutTorn(file) : undefined
    const line = output.addLine(name, { file, leftOut, doubtful, ...(after && { after }) })
    if (after) await line.spool.end()
  }
  return output
}

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
