// What this consumer knows of the jobs that it submitted itself, so that pond need not be believed about them: their bytes' digest, and who may read.
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { jobId } from '../../protocol/id.ts'
import type { Clock } from '../../system/clock.ts'
import { systemDisk } from '../../system/disk.ts'
import { Failure } from '../failure.ts'

const memory = z.object({
  /** SHA-256 of the job's exact bytes. */
  digest: z.string(),
  /** As named in the job; empty for a plain one. */
  recipients: z.array(z.string()),
  /** When it was submitted. */
  at: z.int(),
})
export type JobMemory = z.infer<typeof memory>

/** Longer than pond keeps a job by default. */
const KEPT_MS = 90 * 24 * 60 * 60 * 1000
/** Looking through the folder costs as much as some hundred jobs, so it is done for one in a hundred. */
const SWEEP_EVERY = 100

/** One file a job: several programs may submit at once. */
const folderIn = (home: string) => join(home, 'jobs')
const fileOf = (home: string, id: string) => join(folderIn(home), `${id}.json`)

export async function rememberSubmitted(
  { home, clock, sweep }: { readonly home: string; readonly clock: Clock; readonly sweep: number },
  id: string,
  known: Omit<JobMemory, 'at'>,
): Promise<void> {
  await systemDisk.makeFolder(folderIn(home))
  // Submitted once more under its key it is the same job, as old as it was.
  const before = await recallSubmitted(home, id).catch(() => undefined)
  await systemDisk.replace(fileOf(home, id), `${JSON.stringify({ ...known, at: before?.at ?? clock.now() })}\n`)
  if (Math.floor(sweep * SWEEP_EVERY) === 0) await sweepOld(folderIn(home), clock.now() - KEPT_MS)
}

/** Undefined for a job that was submitted elsewhere. What cannot be read is no reason to believe pond instead. */
export async function recallSubmitted(home: string, id: string): Promise<JobMemory | undefined> {
  if (!jobId.safeParse(id).success) return undefined
  // An element has the bytes and the readers of its array.
  const bytes = await systemDisk.read(fileOf(home, id.split('.')[0] ?? id))
  if (!bytes) return undefined
  try {
    return memory.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new Failure({
      what: `could not read what is known of ${id} in ${folderIn(home)}`,
      why: 'it is damaged, and what was submitted from here is not known any more',
      next: 'Remove it, to believe pond about this job.',
      cause,
    })
  }
}

async function sweepOld(folder: string, before: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (mtimeMs < before) await rm(path, { force: true })
  }
}
