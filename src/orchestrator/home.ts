// The folder of one swarm: where its keys, its binding, its journal and its jobs are, and how they are read and written.
import { join } from 'node:path'
import type { z } from 'zod'
import { describeFault, judgeText } from '../protocol/fault.ts'
import type { Disk } from '../system/disk.ts'
import { type Binding, binding, type KeySet, keySet } from './binding.ts'

export type { Binding, BoundWorker, KeyPair, KeySet } from './binding.ts'

export interface Home {
  readonly path: string
  readonly bindingPath: string
  readonly keysPath: string
  readonly journalPath: string
  readonly rulesPath: string
  readonly jobsPath: string
  readonly bundlesPath: string
  readonly controlPath: string
  /** Undefined before pairing. */
  readBinding(): Promise<Binding | undefined>
  writeBinding(value: Binding): Promise<void>
  readKeys(): Promise<KeySet | undefined>
  writeKeys(value: KeySet): Promise<void>
  /** Forgets binding and keys, and what was still owed under them; the next pairing makes new ones. */
  forget(): Promise<void>
  /** Rejects with LockedError while another swarm runs on this home. */
  lock(): Promise<() => Promise<void>>
}

/** Makes the folder when there is none. */
export async function openHome(disk: Disk, path: string): Promise<Home> {
  await disk.makeFolder(path)
  const file = (name: string) => join(path, name)
  const read = async <T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> => {
    const bytes = await disk.read(file(name))
    return bytes && parse(file(name), bytes, schema)
  }
  const write = (name: string, value: unknown) => disk.replace(file(name), `${JSON.stringify(value, undefined, 2)}\n`)
  return {
    path,
    bindingPath: file('binding.json'),
    keysPath: file('keys.json'),
    journalPath: file('journal'),
    rulesPath: file('rules.json'),
    jobsPath: file('jobs'),
    bundlesPath: file('bundles'),
    controlPath: file('control.sock'),
    readBinding: () => read('binding.json', binding),
    writeBinding: (value) => write('binding.json', value),
    readKeys: () => read('keys.json', keySet),
    writeKeys: (value) => write('keys.json', value),
    async forget() {
      for (const name of ['binding.json', 'keys.json', 'journal', 'jobs', 'bundles']) await disk.remove(file(name))
    },
    lock: () => disk.lock(file('lock')),
  }
}

function parse<T>(path: string, bytes: Buffer, schema: z.ZodType<T>): T {
  const judged = judgeText(schema, bytes.toString('utf8'))
  if (judged.ok) return judged.value
  const why = describeFault(judged.faults[0])
  throw new Error(`${path} is damaged (${why}); pair this machine anew (swarm unpair, then swarm pair)`)
}
