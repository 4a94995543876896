// The folder of one swarm: where its keys, its binding, its journal and its jobs are, and how they are read and written.
import { join } from 'node:path'
import { z } from 'zod'
import { publicKey, resources, workerLabels } from '../protocol/field.ts'
import { bindingId, workerId } from '../protocol/id.ts'
import type { Disk } from '../system/disk.ts'

const keyPair = z.object({ publicKey, privateKey: publicKey })

/** Both halves as 32 raw bytes in unpadded base64url. */
export type KeyPair = z.infer<typeof keyPair>

const keySet = z.object({
  /** Ed25519: says that a call comes from this binding. */
  binding: keyPair,
  /** X25519: what is sealed to this worker opens with it. */
  sealing: keyPair,
  /** Ed25519: the worker signs what it states. */
  signing: keyPair,
})
export type KeySet = z.infer<typeof keySet>

const binding = z.object({
  pond: z.string(),
  binding_id: bindingId,
  worker_id: workerId,
  token: z.string(),
  pond_key: publicKey,
  project: z.string(),
  name: z.string(),
  labels: workerLabels,
  resources,
  /** Public halves, as pinned by pond. */
  keys: z.object({ binding_key: publicKey, sealing_key: publicKey, signing_key: publicKey }),
})
/** What pairing leaves behind. */
export type Binding = z.infer<typeof binding>

export interface Home {
  readonly path: string
  readonly journalPath: string
  readonly jobsPath: string
  readonly controlPath: string
  /** Undefined before pairing. */
  readBinding(): Promise<Binding | undefined>
  writeBinding(value: Binding): Promise<void>
  readKeys(): Promise<KeySet | undefined>
  writeKeys(value: KeySet): Promise<void>
  /** Forgets binding and keys; the next pairing makes new ones. */
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
    journalPath: file('journal'),
    jobsPath: file('jobs'),
    controlPath: file('control.sock'),
    readBinding: () => read('binding.json', binding),
    writeBinding: (value) => write('binding.json', value),
    readKeys: () => read('keys.json', keySet),
    writeKeys: (value) => write('keys.json', value),
    async forget() {
      await disk.remove(file('binding.json'))
      await disk.remove(file('keys.json'))
    },
    lock: () => disk.lock(file('lock')),
  }
}

function parse<T>(path: string, bytes: Buffer, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new Error(`${path} is damaged; pair this machine anew (swarm unpair, then swarm pair)`, { cause })
  }
}
