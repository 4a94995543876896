// pond artifacts: the files that a job left, listed and fetched; those of a confidential job are opened here.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ArtifactView } from '../../protocol/asset.ts'
import type { JobView } from '../../protocol/consumer.ts'
import type { ConnectionFlags } from '../config.ts'
import { exitCode } from '../exit-code.ts'
import { Failure } from '../failure.ts'
import { shownAttempt } from '../follow.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'
import { formatSize } from '../size.ts'
import type { StreamRead } from '../stream.ts'
import { type OpenedParts, readOpened } from '../trust/opened-stream.ts'
import { openingOf } from '../trust/opening.ts'
import { openPrivate, type PrivateEnd } from '../trust/private.ts'
import { createOutage } from '../watch.ts'

export interface ArtifactFlags extends ConnectionFlags {
  readonly job?: string
  readonly attempt?: number
}

export interface GetFlags extends ArtifactFlags {
  readonly paths: readonly string[]
  /** Folder that they are put into. */
  readonly out: string
}

export function listArtifacts(io: Io, flags: ArtifactFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { items } = await findArtifacts(session, flags)
    const columns = [
      { title: 'PATH', cell: ({ path }: ArtifactView) => path ?? '-' },
      { title: 'SIZE', cell: ({ bytes }: ArtifactView) => (bytes === undefined ? '-' : formatSize(bytes)) },
      {
        title: 'PROBLEM',
        cell: ({ problem, end }: ArtifactView) => problem ?? (end === 'complete' ? '' : (end ?? '')),
      },
      { title: 'SHA-256', cell: ({ sha256 }: ArtifactView) => sha256 ?? '-' },
    ]
    await session.out.list(items, columns, 'the job left no artifacts')
    return exitCode('ok')
  })
}

export function getArtifacts(io: Io, flags: GetFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const found = await findArtifacts(session, flags)
    const missing = flags.paths.filter((path) => !found.items.some((it) => it.path === path && it.stream !== undefined))
    if (missing.length > 0) {
      throw new Failure({
        what: `the job left no artifact ${missing.join(', ')}`,
        next: 'List them: pond artifacts ls.',
      })
    }
    const wanted = found.items.filter(
      ({ path, stream }) => stream !== undefined && (flags.paths.length === 0 || flags.paths.includes(path ?? '')),
    )
    requireParted(wanted)
    const fetched: { readonly path: string; readonly file: string }[] = []
    for (const item of wanted) fetched.push(await fetchOne(session, found, { item, out: flags.out }))
    await session.out.result({ items: fetched }, () => fetched.map(({ file }) => file))
    const others = flags.paths.length === 0 ? found.items.filter(({ problem }) => problem !== undefined) : []
    for (const { path = 'more', problem } of others) await session.out.note(`not there: ${path} (${problem})`)
    return exitCode('ok')
  })
}

const nameOf = ({ path, stream = '' }: ArtifactView) => path ?? stream

/** A worker parts them; one that does not would have one file overwrite the other. */
function requireParted(items: readonly ArtifactView[]): void {
  const names = items.map(nameOf)
  const clash = names.find((name, at) => names.some((it, place) => place !== at && `${it}/`.startsWith(`${name}/`)))
  if (clash === undefined) return
  throw new Failure({
    what: `two artifacts cannot both be put where ${clash} is`,
    why: 'the worker that sent them gave them names that fall together',
    next: 'Fetch one of them by its path, if it has one of its own: pond artifacts get PATH.',
  })
}

interface Found {
  readonly parts: OpenedParts
  readonly attempt: number
  readonly items: readonly ArtifactView[]
}

async function findArtifacts(session: Session, flags: ArtifactFlags): Promise<Found> {
  const { client, io, out } = session
  const id = await resolveJob(session, flags.job)
  const job: JobView = need(`show ${id}`, await client.call('getJob', { params: { id } }))
  const opening = await openingOf(session, job)
  const query = flags.attempt === undefined ? {} : { attempt: flags.attempt }
  const list = need(`list the artifacts of ${id}`, await client.call('listArtifacts', { params: { id }, query }))
  const end = opening && (await openPrivate(session, job, opening))
  const { signal } = new AbortController()
  const parts = { client, clock: io.clock, random: io.random, id, signal, outage: createOutage(out.note), opening }
  return {
    parts,
    attempt: flags.attempt ?? shownAttempt(job),
    items:
      end && end.claim === list.claim_id
        ? nameAll(end.artifacts ?? [], list.items)
        : opening
          ? list.items.map(nameless)
          : list.items,
  }
}

/** Pond knows no names of a confidential job; one that it gives is its own. */
function nameless({ path: _, ...item }: ArtifactView): ArtifactView {
  return item
}

/** What the worker attested is what there is; pond adds only what it stores of it. */
function nameAll(inside: NonNullable<PrivateEnd['artifacts']>, stored: readonly ArtifactView[]): ArtifactView[] {
  return inside.map((it) => ({ ...stored.find(({ stream }) => stream !== undefined && stream === it.stream), ...it }))
}

/** What is there already of an earlier try is not fetched again. */
async function fetchOne(
  { out }: Session,
  { parts, attempt }: Found,
  { item, out: folder }: { readonly item: ArtifactView; readonly out: string },
): Promise<{ readonly path: string; readonly file: string }> {
  const { stream = '', bytes = 0, sha256, end } = item
  const path = nameOf(item)
  if (end !== 'complete') throw new Failure({ what: `${path} is not whole`, why: `its stream is ${end ?? 'open'}` })
  const file = join(folder, safe(path))
  await mkdir(dirname(file), { recursive: true })
  // Named by where it comes from: what is left of another job's must not become its beginning.
  const draft = `${file}.${parts.id}.${attempt}.part`
  const handle = await open(draft, 'a')
  let read: StreamRead
  try {
    const from = (await handle.stat()).size
    const sink = sinkInto(handle, async (done) => {
      await out.status(`${path} ${formatSize(from + done)} of ${formatSize(bytes)}`)
    })
    read = await readOpened(parts, { name: stream, attempt, from, over: AbortSignal.abort(), sink })
    await handle.sync()
  } finally {
    await out.status(undefined)
    await handle.close()
  }
  if (read.end !== 'complete') throw new Failure({ what: `${path} is not whole`, why: `its stream is ${read.end}` })
  // A sealed one proved itself while it was opened, its end included.
  if (!parts.opening && (await digestOf(draft)) !== sha256) {
    throw new Failure({ what: `${path} is not what its worker sent`, next: `Remove ${draft} and fetch it again.` })
  }
  await rename(draft, file)
  return { path, file }
}

function sinkInto(handle: FileHandle, progress: (done: number) => Promise<void>) {
  let done = 0
  return async (bytes: Uint8Array): Promise<void> => {
    await handle.appendFile(bytes)
    done += bytes.length
    await progress(done)
  }
}

/** A path is what a worker wrote, so it must not lead out of the folder. */
function safe(path: string): string {
  const steps = path.split('/')
  const bad = (step: string) => step === '' || step === '.' || step === '..' || /[\0\\]/.test(step)
  if (!steps.some(bad)) return join(...steps)
  throw new Failure({ what: `an artifact is called ${JSON.stringify(path)}`, why: 'that leads out of the folder' })
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  if ((await stat(path)).size > 0) for await (const bytes of createReadStream(path)) hash.update(bytes)
  return hash.digest('hex')
}
