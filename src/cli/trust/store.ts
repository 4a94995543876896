// What this consumer has come to trust: ponds, workers and the recipients of projects, each pinned when it was first seen or checked by eye.
import { join } from 'node:path'
import { z } from 'zod'
import { systemDisk } from '../../system/disk.ts'
import { Failure } from '../failure.ts'

const pinnedPond = z.object({ signing_key: z.string(), sealing_key: z.string() })
export type PinnedPond = z.infer<typeof pinnedPond>

const pinnedWorker = z.object({
  id: z.string(),
  name: z.string(),
  /** Base URL of the pond that showed it. */
  pond: z.string(),
  sealing_key: z.string(),
  /** A person compared its fingerprint, or that of the keys before; otherwise it is believed because it was there first. */
  checked: z.boolean(),
  /** The worker replaced these keys since; what they signed before still holds. */
  former: z.boolean().optional(),
  at: z.int(),
})
export type PinnedWorker = z.infer<typeof pinnedWorker>

const trust = z.object({
  format: z.literal(1),
  /** By base URL. */
  ponds: z.record(z.string(), pinnedPond),
  /** By Ed25519 key. */
  workers: z.record(z.string(), pinnedWorker),
  /** By base URL and project. */
  recipients: z.record(z.string(), z.array(z.string())),
})
export type Trust = z.infer<typeof trust>

const nothing: Trust = { format: 1, ponds: {}, workers: {}, recipients: {} }

const fileIn = (home: string) => join(home, 'trust.json')

export const projectKey = (url: string, project: string) => `${url} ${project}`

/** A file that cannot be read is no reason to trust anew. */
export async function readTrust(home: string): Promise<Trust> {
  const bytes = await systemDisk.read(fileIn(home))
  if (!bytes) return nothing
  try {
    return trust.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new Failure({
      what: `could not read ${fileIn(home)}`,
      why: 'it is damaged, and what was pinned in it is not known any more',
      next: 'Bring it back from a copy, or remove it and compare fingerprints again.',
      cause,
    })
  }
}

export async function changeTrust(home: string, change: (before: Trust) => Trust): Promise<Trust> {
  await systemDisk.makeFolder(home)
  const before = await readTrust(home)
  const after = change(before)
  if (after !== before) await systemDisk.replace(fileIn(home), `${JSON.stringify(after, undefined, 2)}\n`)
  return after
}
