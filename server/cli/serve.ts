// `pond serve`: real parts put together, and taken apart in order when a signal or a broken store says so.
import { readFile } from 'node:fs/promises'
import { Failure } from '../../src/cli/failure.ts'
import type { Io } from '../../src/cli/io.ts'
import { createOutput } from '../../src/cli/output.ts'
import type { ServeFlags } from '../../src/cli/serve-flag.ts'
import { limit } from '../../src/protocol/limit.ts'
import { LockedError, systemDisk } from '../../src/system/disk.ts'
import type { Log } from '../../src/system/log.ts'
import { openDiskBlobs } from '../blob/disk.ts'
import { type DataFolder, dataFolder, isOpenKeyFile, loadAdminToken, loadKeys } from '../data.ts'
import { type Front, openFront } from '../http/front.ts'
import { type MetricsFront, openMetrics } from '../http/metrics.ts'
import type { Metrics } from '../metrics.ts'
import { createPond, type Pond } from '../pond.ts'
import { createKeyRotation } from '../pond-key.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { dataHome } from './config.ts'
import { createLog } from './log.ts'

export async function serve(flags: ServeFlags, io: Io): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json })
  const home = dataHome(io.env, flags.data)
  const data = dataFolder(home)
  await systemDisk.makeFolder(home)
  const unlock = await lockData(home, data)
  const stop = stopSignal(io)
  try {
    const running = await start({ flags, io, data, fatal: (error) => stop.fail(error) })
    await tellStart(running, { data, io, out })
    const broken = await stop.told
    await running.close()
    if (broken === undefined) return 0
    throw new Failure({
      what: 'pond stopped: it could not be sure that its data is safe',
      why: explain(broken),
      next: 'Look at the disk, then start pond again: what was acknowledged is there.',
      cause: broken,
    })
  } finally {
    stop.close()
    await unlock()
  }
}

/** One pond at a time may use a folder: two would grant the same job twice. */
async function lockData(home: string, data: DataFolder): Promise<() => Promise<void>> {
  try {
    return await systemDisk.lock(data.lockFile)
  } catch (error) {
    if (!(error instanceof LockedError)) throw error
    throw new Failure({
      what: `a pond already runs on ${home}`,
      why: `it is process ${error.pid}`,
      next: 'Stop it first, or use another --data.',
      cause: error,
    })
  }
}

function keysFailure(cause: Error, { keyFile }: DataFolder): Failure {
  const next = `Type: chmod 600 ${keyFile}. If somebody may have read it, then: pond pond-key rotate.`
  return new Failure({ what: "could not use pond's keys", why: cause.message, next, cause })
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

interface Running {
  readonly pond: Pond
  readonly front: Front
  readonly metricsFront?: MetricsFront | undefined
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
  const keys = await loadKeys(systemDisk, random, data.keyFile).catch((error: unknown) => {
    throw isOpenKeyFile(error) ? keysFailure(error, data) : error
  })
  const metrics = flags.metricsPort === undefined ? undefined : await loadMetrics()
  const blobs = await openDiskBlobs({ folder: data.blobFolder, reserveBytes: flags.reserve, clock, fatal })
  const store = openSqliteStore({ file: data.storeFile, events: { fatal, ...metrics?.store }, clock })
  const makeAdminToken = () => loadAdminToken(systemDisk, random, data.adminTokenFile)
  const rotateKeys = createKeyRotation(systemDisk, data.keyFile)
  const log = createLog(io)
  const settings = { requireAttestation: flags.allowUnattested !== true, ...patienceOf(flags) }
  const measured = metrics ? { meter: metrics.meter } : {}
  const world = { store, blobs, clock, random, log, ...measured }
  const pond = await createPond({ ...world, keys, makeAdminToken, rotateKeys, settings })
  let metricsFront: MetricsFront | undefined
  const closeParts = async () => {
    pond.close()
    await metricsFront?.close()
    await store.close().catch(() => {})
    await blobs.close()
  }
  const listenAll = async () => {
    metrics?.watch(pond.services)
    if (metrics) metricsFront = await listenMetrics(metrics, { flags, log })
    return await listen(pond, flags)
  }
  const front = await listenAll().catch(async (error) => {
    await closeParts()
    throw error
  })
  return {
    ...{ pond, front, metricsFront },
    async close() {
      pond.close()
      await front.close()
      await closeParts()
    },
  }
}

/** A poll of a worker that holds claims renews them, so it comes back four times a lease, however long others are held. */
export function patienceOf({ lease, pollHold }: Pick<ServeFlags, 'lease' | 'pollHold'>) {
  return { leaseMs: lease, pollHoldMs: pollHold, pollHoldBusyMs: Math.min(limit.pollHoldBusyMs, lease / 4, pollHold) }
}

async function listen(pond: Pond, flags: ServeFlags): Promise<Front> {
  const { host, port } = flags
  const tls =
    flags.tlsCert !== undefined && flags.tlsKey !== undefined ? await readTls(flags.tlsCert, flags.tlsKey) : undefined
  try {
    return await openFront(pond, {
      host,
      port,
      ...(tls ? { tls } : {}),
      ...(flags.behindProxy === undefined ? {} : { trustProxy: flags.behindProxy }),
      corsOrigins: flags.corsOrigin ?? [],
    })
  } catch (cause) {
    throw cannotListen(cause, { what: `could not listen on ${host} port ${port}`, host: '--host', port: '--port' })
  }
}

async function listenMetrics(
  { read }: Metrics,
  { flags, log }: { readonly flags: ServeFlags; readonly log: Log },
): Promise<MetricsFront> {
  const { metricsHost: host, metricsPort: port = 0 } = flags
  try {
    return await openMetrics({
      host,
      port,
      read,
      failed: (error) => log.error('metrics.failed', { error: `${error}` }),
    })
  } catch (cause) {
    const what = `could not serve metrics on ${host} port ${port}`
    throw cannotListen(cause, { what, host: '--metrics-host', port: '--metrics-port' })
  }
}

/** Its package is optional, and costs a start some time. */
async function loadMetrics(): Promise<Metrics> {
  try {
    const { createMetrics } = await import('../metrics.ts')
    return createMetrics()
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new Failure({
      what: 'this installation cannot serve metrics',
      why: cause.message.split('\n')[0] ?? '',
      next: 'Install it with its optional packages, or leave --metrics-port away.',
      cause,
    })
  }
}

/** `host` and `port` are the flags that choose another place. */
function cannotListen(
  cause: unknown,
  { what, host, port }: { readonly what: string; readonly host: string; readonly port: string },
): Failure {
  const next = isInUse(cause)
    ? `Stop what listens there, or choose another ${port}; ${port} 0 takes a free one.`
    : `Choose another ${host} or ${port}.`
  const why = isInUse(cause) ? 'another program listens there' : String(cause)
  return new Failure({ what, why, next, cause })
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
}

async function readTls(cert: string, key: string): Promise<{ cert: string; key: string }> {
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') }
}

/** One line once it listens. The first admin token goes into its file, and onto a terminal only. */
async function tellStart(
  { pond, front, metricsFront }: Running,
  told: { readonly data: DataFolder; readonly io: Io; readonly out: ReturnType<typeof createOutput> },
): Promise<void> {
  const { data, io, out } = told
  await systemDisk.replace(data.urlFile, `${front.url}\n`)
  const { url } = front
  const metricsUrl = metricsFront?.url
  await out.result({ url, ...(metricsUrl === undefined ? {} : { metrics_url: metricsUrl }) }, () =>
    metricsUrl === undefined ? `pond listens on ${url}` : `pond listens on ${url}, its metrics are at ${metricsUrl}`,
  )
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
