// What this consumer has come to trust: ponds, workers and the recipients of projects, each pinned when it was first seen or checked by eye.
import { join } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../../system/clock.ts'
import { systemDisk } from '../../system/disk.ts'
import { lockSoon } from '../../system/lock.ts'
import { Failure } from '../failure.ts'

const pinnedPond = z.object({ signing_key: z.string(), sealing_key: z.string() })
export type PinnedPond = z.infer<typeof pinnedPond>

const keyPair = { sealing_key: z.string(), signing_key: z.string() }

const pinnedWorker = z.object({
  id: z.string(),
  name: z.string(),
  /** Base URL of the pond that showed it. */
  pond: z.string(),
  ...keyPair,
  /** Replaced since by what they signed, oldest first. What they sign for jobs that were submitted after `until` is not believed. */
  former: z.array(z.object({ ...keyPair, until: z.int() })),
  /** A person compared the fingerprint of these keys or of former ones; otherwise they are believed because they were there first. */
  checked: z.boolean(),
  at: z.int(),
})
export type PinnedWorker = z.infer<typeof pinnedWorker>

const trust = z.object({
  format: z.literal(1),
  /** By base URL. */
  ponds: z.record(z.string(), pinnedPond),
  /** By base URL and id. */
  workers: z.record(z.string(), pinnedWorker),
  /** By base URL and project. */
  recipients: z.record(z.string(), z.array(z.string())),
})
export type Trust = z.infer<typeof trust>

const nothing: Trust = { format: 1, ponds: {}, workers: {}, recipients: {} }

const fileIn = (home: string) => join(home, 'trust.json')

export const projectKey = (url: string, project: string) => `${url} ${project}`

export const workerKey = (url: string, id: string) => `${url} ${id}`

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

export interface TrustPlace {
  readonly home: string
  readonly clock: Clock
}

/** Changes under way, by home: in one program one waits for the other. */
const turns = new Map<string, Promise<unknown>>()

/** Changes what is trusted by then, with nobody in between; `change` may be asked twice, and answers what it was given where nothing changes. */
export async function changeTrust(place: TrustPlace, change: (before: Trust) => Trust): Promise<Trust> {
  const mine = (turns.get(place.home) ?? Promise.resolve()).then(() => changeAlone(place, change))
  turns.set(
    place.home,
    mine.catch(() => {}),
  )
  return await mine
}

async function changeAlone({ home, clock }: TrustPlace, change: (before: Trust) => Trust): Promise<Trust> {
  const seen = await readTrust(home)
  if (change(seen) === seen) return seen
  await systemDisk.makeFolder(home)
  const unlock = await lockSoon(systemDisk, join(home, 'trust.lock'), clock)
  try {
    const before = await readTrust(home)
    const after = change(before)
    if (after !== before) await systemDisk.replace(fileIn(home), `${JSON.stringify(after, undefined, 2)}\n`)
    return after
  } finally {
    await unlock()
  }
}
