// Artifacts: the files that a job's globs find in its folder after its end. The job owned that folder and is not trusted: no link is
// followed, not even one that takes a folder's place meanwhile, and only plain files of the job's own user are taken.
import { constants } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { limit } from '../protocol/limit.ts'
import type { ArtifactProblem, ArtifactReport } from '../protocol/word.ts'
import type { Clock } from '../system/clock.ts'
import { createGlobs } from './glob.ts'
import type { Privacy } from './privacy.ts'
import { createToldPaths } from './told-path.ts'

export interface ArtifactParts {
  readonly clock: Pick<Clock, 'monotonic'>
  /** The folder that the job ran in. */
  readonly work: string
  readonly globs: readonly string[]
  readonly mostBytes: number
  readonly privacy: Privacy
  /** Takes a whole file as this artifact; tells what came in the way, if anything. */
  readonly add: (index: number, bytes: AsyncIterable<Buffer>) => Promise<ArtifactProblem | undefined>
  readonly signal: AbortSignal
}

/** Files and folders looked at; a job that leaves more has its rest passed over, and told so. */
const ENTRIES_MOST = 100_000
const DEPTH_MOST = 64
/** What a report may say. Folders inside each other can have longer ones than any call of the kernel takes. */
const PATH_CHARS_MOST = 4096
/** Room for what tells two from each other. */
const NUMBER_CHARS = 8
const READ_BYTES = 256 * 1024
/** Linux names an open folder by this, so that what is below it is reached without its path. */
const FOLDERS = '/proc/self/fd'

/** One report for each file, in the order of their paths, and one for each glob that found none. */
export async function collectArtifacts(parts: ArtifactParts): Promise<readonly ArtifactReport[]> {
  const globs = createGlobs(parts.globs, parts.clock)
  const found = new Set<number>()
  const told = createToldPaths()
  const reports: ArtifactReport[] = []
  let index = 0
  let room: number = limit.artifactPathBytes
  const take = async (path: string, file: FileHandle): Promise<void> => {
    reports.push({ path, ...(await takeFile(parts, { nextIndex: () => index++, file })) })
  }
  const walk = createWalk(parts, async (name, open) => {
    const mine = globs.match(name)
    for (const it of mine ?? []) found.add(it)
    if (mine?.length === 0 || parts.signal.aborted) return
    // It may hold a secret too.
    const path = told.take(parts.privacy.text(name).slice(0, PATH_CHARS_MOST - NUMBER_CHARS))
    room -= Buffer.byteLength(JSON.stringify(path))
    if (!mine || room < 0 || reports.length >= limit.artifactsPerJob) return walk.stop()
    const file = await open()
    if (!file) return void reports.push({ path, problem: 'unreadable' })
    try {
      await take(path, file)
    } finally {
      await file.close()
    }
  })
  await walk.run()
  const unfound = parts.globs.filter((_, place) => !found.has(place))
  const missing = unfound.map((path) => ({ path, problem: 'missing' as const }))
  const cut = walk.stopped() ? [{ problem: 'too_many' as const }] : []
  return [...reports, ...cut, ...missing].slice(-limit.artifactsPerJob)
}

async function takeFile(
  { mostBytes, privacy, add }: ArtifactParts,
  { nextIndex, file }: { readonly nextIndex: () => number; readonly file: FileHandle },
): Promise<Omit<ArtifactReport, 'path'>> {
  const { size } = await file.stat()
  if (size > mostBytes) return { problem: 'too_large' }
  try {
    const scanner = privacy.scanner()
    for await (const bytes of privacy.hasSecrets ? readAll(file, size) : []) {
      if (scanner.push(bytes)) return { problem: 'withheld' }
    }
    // A number is used up also by what comes to nothing: pond may have the beginning of it.
    const index = nextIndex()
    const problem = await add(index, readAll(file, size))
    return problem ? { problem } : { stream: `artifact/${index}` }
  } catch {
    return { problem: 'unreadable' }
  }
}

async function* readAll(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const bytes = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, at)
    if (bytesRead === 0) throw new Error('the file became shorter while it was read')
    yield bytes.subarray(0, bytesRead)
    at += bytesRead
  }
}

/** Opens the file that was found; undefined when it is none that may be taken. */
type OpenFound = () => Promise<FileHandle | undefined>

interface Walk {
  run(): Promise<void>
  stop(): void
  /** Something was not looked at. */
  stopped(): boolean
}

function createWalk({ work }: ArtifactParts, visit: (path: string, open: OpenFound) => Promise<void>): Walk {
  let entries = 0
  let stopped = false
  const stop = () => {
    stopped = true
  }

  async function enter(
    folder: FileHandle,
    where: { readonly at: string; readonly path: string; readonly depth: number },
  ) {
    const below = process.platform === 'linux' ? join(FOLDERS, `${folder.fd}`) : where.at
    const { uid } = await folder.stat()
    for (const name of (await readdir(below)).sort()) {
      if (stopped) return
      if (++entries > ENTRIES_MOST) return stop()
      const path = where.path === '' ? name : `${where.path}/${name}`
      const at = join(below, name)
      const inner = await openFolder(at)
      if (!inner) await visit(path, () => openFile(at, uid))
      else {
        try {
          const passable = where.depth < DEPTH_MOST && path.length < PATH_CHARS_MOST
          if (passable) await enter(inner, { at: join(where.at, name), path, depth: where.depth + 1 })
          else stop()
        } finally {
          await inner.close()
        }
      }
    }
  }

  return {
    async run() {
      const root = await openFolder(work)
      if (!root) return
      try {
        await enter(root, { at: work, path: '', depth: 0 })
      } finally {
        await root.close()
      }
    },
    stop,
    stopped: () => stopped,
  }
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants

function openFolder(path: string): Promise<FileHandle | undefined> {
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(() => undefined)
}

/** Neither a link nor anything that could block; of the user whose folder it lies in, so that no hard link smuggles another's file out. */
async function openFile(path: string, uid: number): Promise<FileHandle | undefined> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
  if (!file) return undefined
  const facts = await file.stat()
  if (facts.isFile() && facts.uid === uid) return file
  await file.close()
  return undefined
}
