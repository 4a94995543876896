// `pond serve`: real parts put together, and taken apart in order when a signal or a broken store says so.
import { readFile } from 'node:fs/promises'
import { Failure } from '../../src/cli/failure.ts'
import type { Io } from '../../src/cli/io.ts'
import { createOutput } from '../../src/cli/output.ts'
import type { ServeFlags } from '../../src/cli/pond.ts'
import { systemDisk } from '../../src/system/disk.ts'
import { openDiskBlobs } from '../blob/disk.ts'
import { type DataFolder, dataFolder, loadKeys } from '../data.ts'
import { type Front, openFront } from '../http/front.ts'
import { createPond, type Pond } from '../pond.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { dataHome } from './config.ts'
import { createLog } from './log.ts'

/** Room that streams leave free on the device, for the database and its final words. */
const RESERVE_BYTES = 256 * 1024 * 1024

export async function serve(flags: ServeFlags, io: Io): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json })
  const home = dataHome(io.env, flags.data)
  const data = dataFolder(home)
  await systemDisk.makeFolder(home)
  const unlock = await systemDisk.lock(data.lockFile)
  const stop = stopSignal(io)
  try {
    const running = await start({ flags, io, data, fatal: (error) => stop.fail(error) })
    await tellStart(running, { data, io, out })
    const broken = await stop.told
    await running.close()
    if (broken === undefined) return 0
    const next = 'look at the disk, then start pond again: what was acknowledged is there'
    throw new Failure({ what: 'the store failed and pond stopped', why: String(broken), next })
  } finally {
    stop.close()
    await unlock()
  }
}

interface Running {
  readonly pond: Pond
  readonly front: Front
  close(): Promise<void>
}

async function start(parts: {
  readonly flags: ServeFlags
  readonly io: Io
  readonly data: DataFolder
  readonly fatal: (error: unknown) => void
}): Promise<Running> {
  const { flags, io, data, fatal } = parts
  const { clock, random } = io
  const keys = await loadKeys(systemDisk, random, data.keyFile)
  const blobs = await openDiskBlobs({ folder: data.blobFolder, reserveBytes: RESERVE_BYTES, clock })
  const store = openSqliteStore({ file: data.storeFile, events: { fatal }, clock })
  const pond = await createPond({ store, blobs, clock, random, log: createLog(io), keys })
  const front = await openFront(pond, {
    host: flags.host,
    port: flags.port,
    ...(flags.tlsCert !== undefined && flags.tlsKey !== undefined
      ? { tls: await readTls(flags.tlsCert, flags.tlsKey) }
      : {}),
    ...(flags.behindProxy === undefined ? {} : { trustProxy: flags.behindProxy }),
    corsOrigins: flags.corsOrigin ?? [],
  })
  return {
    pond,
    front,
    async close() {
      pond.close()
      await front.close()
      await store.close().catch(() => {})
      await blobs.close()
    },
  }
}

async function readTls(cert: string, key: string): Promise<{ cert: string; key: string }> {
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') }
}

/** One line once it listens. The first admin token goes into its file, and onto a terminal only. */
async function tellStart(
  { pond, front }: Running,
  told: { readonly data: DataFolder; readonly io: Io; readonly out: ReturnType<typeof createOutput> },
): Promise<void> {
  const { data, io, out } = told
  if (pond.adminToken !== undefined) await systemDisk.replace(data.adminTokenFile, `${pond.adminToken}\n`)
  await systemDisk.replace(data.urlFile, `${front.url}\n`)
  await out.result({ url: front.url }, () => `pond listens on ${front.url}`)
  if (pond.adminToken === undefined) return
  await out.note(`the first admin token is in ${data.adminTokenFile}`)
  if (io.stderr.isTty) await out.note(`it is ${pond.adminToken}`)
}

/** Resolves at the first SIGINT or SIGTERM, or with what broke. */
function stopSignal(io: Io): { readonly told: Promise<unknown>; fail(error: unknown): void; close(): void } {
  let tell: (broken: unknown) => void = () => {}
  const told = new Promise<unknown>((resolve) => {
    tell = resolve
  })
  const cancels = [io.onSignal('SIGINT', () => tell(undefined)), io.onSignal('SIGTERM', () => tell(undefined))]
  return {
    told,
    fail: (error) => tell(error ?? new Error('unknown')),
    close() {
      for (const cancel of cancels) cancel()
    },
  }
}
