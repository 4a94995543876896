// A whole pond without a socket: real SQLite store and disk blobs in a temporary folder, hand-driven clock, seeded randomness. It can be restarted, and its store can fail.
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Blobs } from '../../server/blob/contract.ts'
import { openDiskBlobs } from '../../server/blob/disk.ts'
import { dataFolder, loadKeys } from '../../server/data.ts'
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import type { Metrics } from '../../server/metrics.ts'
import { createPond, type Pond } from '../../server/pond.ts'
import { createKeyRotation } from '../../server/pond-key.ts'
import type { Settings } from '../../server/service/parts.ts'
import { type Store, StoreFailing } from '../../server/store/contract.ts'
import { openHandle } from '../../server/store/sqlite/driver.ts'
import { openSqliteStore } from '../../server/store/sqlite.ts'
import type { ErrorBody, ErrorCode } from '../../src/protocol/error.ts'
import type { PairReply } from '../../src/protocol/orch.ts'
import type { RotateReply } from '../../src/protocol/renewal.ts'
import { type ReplyOf, type RouteName, routes } from '../../src/protocol/route.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { systemDisk } from '../../src/system/disk.ts'
import type { LogFields } from '../../src/system/log.ts'
import { createRequestSigner } from './request-signer.ts'
import { createSeededRandom } from './seeded-random.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

/** What a test says in a call; the rest is as the route wants it. */
export interface Asking {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | readonly string[]>>
  /** Bytes, or what becomes JSON. */
  readonly body?: unknown
  /** A body that is too large to be held. */
  readonly stream?: AsyncIterable<Uint8Array>
  /** The admin token unless said otherwise; `null` for none. */
  readonly token?: string | null
  /** Signs the call; without it the key of the machine that has the token, or that pairs. `null` for no signature. */
  readonly key?: KeyPair | null
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface Answered<N extends RouteName> {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
  /** The body as the route promises it; a refusal's body is in `error`. */
  readonly reply: ReplyOf<N>
  readonly code: ErrorCode | undefined
  readonly error: ErrorBody['error'] | undefined
}

/** `refuse`: the write is not taken. `lose`: it runs and its commit fails, so nothing of it stays. */
export type StoreFault = 'refuse' | 'lose' | undefined

export interface PondRig {
  readonly clock: VirtualClock
  readonly folder: string
  /** The pond of this life. */
  readonly pond: Pond
  readonly store: Store
  readonly blobs: Blobs
  readonly adminToken: string
  readonly lines: readonly { readonly event: string; readonly fields: LogFields }[]
  /** Asked before each write. */
  storeFault: () => StoreFault
  /** True: the device has no room for chunks. */
  noRoom: boolean
  call<N extends RouteName>(name: N, asking?: Asking): Promise<Answered<N>>
  /** What `call` sends, signed at this moment. */
  request(name: RouteName, asking?: Asking): PondRequest
  /** Sends a request of that route as it is, perhaps once more. */
  send<N extends RouteName>(name: N, request: PondRequest): Promise<Answered<N>>
  /** As `call`, the body as it comes. */
  open<N extends RouteName>(name: N, asking?: Asking): Promise<PondReply>
  /** Ends this life and starts the next on the same folder; `meanwhile` is what happens without pond. */
  restart(meanwhile?: () => Promise<void>): Promise<void>
  /** Every row of every table and every stream file with its size. */
  dump(): Promise<Readonly<Record<string, readonly unknown[]>>>
  close(): Promise<void>
}

export interface PondRigOptions {
  readonly settings?: Partial<Settings>
  readonly seed?: number
  /** Pond's key file as it stands; without it the first life makes one. */
  readonly keyFile?: string
  /** Measures all lives. */
  readonly metrics?: Metrics
}

/** Closes itself when the test ends. */
export async function createPondRig(t: Pick<Test, 'teardown'>, options: PondRigOptions = {}): Promise<PondRig> {
  const folder = await makeFolder(options)
  const data = dataFolder(folder)
  const { track, busy } = createTracker()
  const clock = createVirtualClock(undefined, busy)
  const random = createSeededRandom(options.seed ?? 1)
  const { lines, note, log } = createLines()
  const signer = createRequestSigner(clock, () => life.pond.services.core.keys.publicKey)
  const fatal = (error: unknown) => note('store.fatal', { error: String(error) })

  const live = async (): Promise<PondLife> => {
    const keys = await loadKeys(systemDisk, random, data.keyFile)
    const { metrics, settings = {} } = options
    const store = openSqliteStore({ file: data.storeFile, events: { fatal, ...metrics?.store } })
    const disk = await openDiskBlobs({ folder: data.blobFolder, reserveBytes: 0, clock, fatal })
    const seen = { store: watchStore(store, track, rig), blobs: watchBlobs(disk, track, rig) }
    const world = { ...seen, clock, random, log, ...(metrics && { meter: metrics.meter }) }
    const pond = await createPond({ ...world, keys, rotateKeys: createKeyRotation(systemDisk, data.keyFile), settings })
    metrics?.watch(pond.services)
    return { ...seen, pond }
  }

  async function end(): Promise<void> {
    life.pond.close()
    await clock.settle()
    await life.store.close()
    await life.blobs.close()
  }

  const rig: { -readonly [K in keyof PondRig]: PondRig[K] } = {
    clock,
    folder,
    get pond() {
      return life.pond
    },
    get store() {
      return life.store
    },
    get blobs() {
      return life.blobs
    },
    adminToken: '',
    lines,
    storeFault: () => undefined,
    noRoom: false,
    request: (name, asking = {}) =>
      signer.sign(name, requestOf(name, { token: rig.adminToken, ...asking }), asking.key),
    open: (name, asking) => life.pond.answer(rig.request(name, asking)),
    call: (name, asking) => rig.send(name, rig.request(name, asking)),
    async send(name, request) {
      const answer = await answered<typeof name>(await life.pond.answer(request))
      if (name === 'pair' && !answer.error) signer.paired(request, answer.reply as PairReply)
      if (name === 'rotate' && !answer.error) signer.rotated(request, answer.reply as RotateReply)
      return answer
    },
    async restart(meanwhile) {
      await end().then(meanwhile)
      life = await live()
    },
    dump: async () => ({ ...dumpTables(data.storeFile), blobs: await dumpFolder(data.blobFolder) }),
    async close() {
      await end()
      await rm(folder, { recursive: true })
    },
  }
  let life = await live()
  rig.adminToken = life.pond.adminToken ?? ''
  t.teardown(() => rig.close())
  return rig
}

function createLines() {
  const lines: { event: string; fields: LogFields }[] = []
  const note = (event: string, fields: LogFields = {}) => void lines.push({ event, fields })
  return { lines, note, log: { info: note, warn: note, error: note } }
}

async function makeFolder({ keyFile }: PondRigOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pond-test-'))
  if (keyFile !== undefined) await writeFile(dataFolder(folder).keyFile, keyFile, { mode: 0o600 })
  return folder
}

interface PondLife {
  readonly pond: Pond
  readonly store: Store
  readonly blobs: Blobs
}

type Track = <T>(work: () => Promise<T>) => Promise<T>

/** Counts the work that is under way on a real disk. */
function createTracker(): { track: Track; busy: () => boolean } {
  let under = 0
  return {
    busy: () => under > 0,
    async track(work) {
      under++
      try {
        return await work()
      } finally {
        under--
      }
    },
  }
}

function watchStore(store: Store, track: Track, rig: Pick<PondRig, 'storeFault'>): Store {
  return {
    read: (work) => track(() => store.read(work)),
    write: (work) => track(() => writeOrFail(store, rig.storeFault(), work)),
    close: () => store.close(),
  }
}

function watchBlobs(blobs: Blobs, track: Track, rig: Pick<PondRig, 'noRoom'>): Blobs {
  return new Proxy(blobs, {
    get(target, name: keyof Blobs) {
      const method = target[name] as (...args: unknown[]) => Promise<unknown>
      if (name === 'roomBytes' && rig.noRoom) return async () => 0
      return (...args: unknown[]) => track(() => method.apply(target, args))
    },
  })
}

function requestOf(name: RouteName, asking: Asking): PondRequest {
  const { params = {}, query = {}, body, stream, token = null, headers = {}, signal } = asking
  const fill = (_: string, key: string) => encodeURIComponent(params[key] ?? '-')
  return {
    method: routes[name].method,
    path: routes[name].path.replace(/\{(\w+)(?:\.\.\.)?\}/g, fill),
    query: query as Record<string, string>,
    search: searchOf(query),
    headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body)) }),
    ...(stream ? { stream } : {}),
    signal: () => signal ?? new AbortController().signal,
  }
}

function searchOf(query: NonNullable<Asking['query']>): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    [value].flat().map((one) => [key, one] as [string, string]),
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`
}

async function writeOrFail<T>(store: Store, fault: StoreFault, work: Parameters<Store['write']>[0]): Promise<T> {
  if (fault === 'refuse') throw new StoreFailing('a test says so')
  if (fault === undefined) return (await store.write(work)) as T
  return await store.write(async (tx) => {
    await work(tx)
    throw new StoreFailing('a test says so')
  })
}

async function answered<N extends RouteName>(reply: PondReply): Promise<Answered<N>> {
  const { status, headers } = reply
  const bytes = await collect(reply.body)
  const isJson = headers['content-type']?.startsWith('application/json') ?? false
  const value: unknown = isJson ? JSON.parse(bytes.toString()) : bytes
  const error = status >= 400 ? (value as ErrorBody).error : undefined
  return { status, headers, bytes, reply: value as ReplyOf<N>, code: error?.code, error }
}

async function collect(body: PondReply['body']): Promise<Buffer> {
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body as string)
  const parts: Buffer[] = []
  for await (const part of body) parts.push(Buffer.from(part as string))
  return Buffer.concat(parts)
}

function dumpTables(file: string): Record<string, readonly unknown[]> {
  const db = openHandle(file, { readOnly: true })
  try {
    const tables = db.prepare("select name from sqlite_master where type = 'table'").all() as { name: string }[]
    return Object.fromEntries(tables.map(({ name }) => [name, db.prepare(`select * from ${name}`).all()]))
  } finally {
    db.close()
  }
}

async function dumpFolder(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true })
  const sizes = await Promise.all(entries.map(async (path) => ({ path, info: await stat(join(folder, path)) })))
  return sizes.filter(({ info }) => info.isFile()).map(({ path, info }) => `${path} ${info.size}`)
}
