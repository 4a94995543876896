// Live events for consumers, as text of server-sent events. A reader that is too slow is cut off and comes back with its last id.
import type { JobId, ProjectId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import type { Cancel } from '../../src/system/clock.ts'
import type { TelemetryRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { viewTally } from './element.ts'
import type { JobNews } from './hub.ts'
import { readJob, type Scope } from './job.ts'

const COMMENT_MS = 15_000
/** Events that wait for a slow reader before it is cut off. */
const BACKLOG_MOST = 1000

/** One event as text; those of a job carry its version. */
interface Item {
  readonly text: string
  readonly version?: number
  readonly ended?: boolean
  /** How far this array is: the next one of the kind says more. */
  readonly progressOf?: JobId
}

/** A bounded line of events between those who tell and the one who reads. */
class Backlog {
  readonly #core: Core
  readonly #signal: AbortSignal
  readonly #items: Item[] = []
  #ring: () => void = () => {}
  #closed = false

  constructor(core: Core, signal: AbortSignal) {
    this.#core = core
    this.#signal = signal
  }

  push(item: Item): void {
    const last = this.#items.at(-1)
    if (item.progressOf !== undefined && last?.progressOf === item.progressOf)
      this.#items[this.#items.length - 1] = item
    else if (this.#items.length >= BACKLOG_MOST) this.#closed = true
    else this.#items.push(item)
    this.#ring()
  }

  /** What is there, or a comment after a quiet time; undefined when the reader left or was too slow. */
  async next(): Promise<readonly Item[] | undefined> {
    if (this.#items.length === 0 && !this.#closed && !this.#signal.aborted) await this.#wait()
    if (this.#signal.aborted) return undefined
    if (this.#items.length > 0) return this.#items.splice(0)
    return this.#closed ? undefined : [{ text: ': still here\n\n' }]
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel()
        this.#signal.removeEventListener('abort', done)
        this.#ring = () => {}
        resolve()
      }
      const cancel: Cancel = this.#core.clock.after(COMMENT_MS, done)
      this.#signal.addEventListener('abort', done, { once: true })
      this.#ring = done
    })
  }
}

/** Every change of one job behind `lastVersion`, then its telemetry and changes as they come, until it has ended. */
export async function* followJob(
  core: Core,
  ask: { readonly scope: Scope; readonly id: JobId; readonly lastVersion: number; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  const backlog = new Backlog(core, ask.signal)
  const unlisten = [
    core.hub.job.listen(ask.id, (news) => backlog.push(newsItem(news))),
    core.hub.telemetry.listen(ask.id, (row) => backlog.push({ text: printTelemetry(row) })),
  ]
  try {
    const row = await readJob(core, ask.scope, ask.id)
    const past = await core.store.read((tx) => tx.listTransitions(ask.id))
    let printed = ask.lastVersion
    let items: readonly Item[] | undefined = past.map((step) =>
      newsItem({ jobId: ask.id, version: step.version, state: step.to }),
    )
    const { state, array } = row.law
    // How far an array is now; how it came there is in no log.
    if (array && !isFinal(state)) {
      items = [...items, newsItem({ jobId: ask.id, version: row.version, state, array: viewTally(array) })]
    }
    let ended = isFinal(past.at(-1)?.to ?? 'queued')
    while (items) {
      for (const { text, version } of items) {
        if (version !== undefined && version <= printed) continue
        printed = version ?? printed
        yield text
      }
      if (ended) return
      items = await backlog.next()
      ended = items?.some((item) => item.ended) ?? false
    }
  } finally {
    for (const stop of unlisten) stop()
  }
}

/** Changes of a project's jobs from now on. */
export async function* followProject(
  core: Core,
  ask: {
    readonly projectId: ProjectId
    readonly label?: { readonly key: string; readonly value: string } | undefined
    readonly signal: AbortSignal
  },
): AsyncGenerator<string> {
  const backlog = new Backlog(core, ask.signal)
  const unlisten = core.hub.project.listen(ask.projectId, (news) => {
    if (ask.label && news.labels[ask.label.key] !== ask.label.value) return
    backlog.push({ text: printNews(news, `${news.jobId}/${news.version}`), ...progressOf(news) })
  })
  try {
    yield ': listening\n\n'
    for (let items = await backlog.next(); items; items = await backlog.next()) {
      yield items.map((item) => item.text).join('')
    }
  } finally {
    unlisten()
  }
}

type Told = Pick<JobNews, 'jobId' | 'version' | 'state' | 'array'>

function newsItem(news: Told): Item {
  const { version, state } = news
  return { text: printNews(news, String(version)), version, ended: isFinal(state), ...progressOf(news) }
}

const progressOf = ({ jobId, state, array }: Told) => (array && !isFinal(state) ? { progressOf: jobId } : {})

function printNews({ jobId, version, state, array }: Told, id: string): string {
  const data = JSON.stringify({ job_id: jobId, version, state, ...(array ? { array } : {}) })
  return `id: ${id}\nevent: job\ndata: ${data}\n\n`
}

function printTelemetry(row: TelemetryRow): string {
  const data = JSON.stringify({ job_id: row.jobId, id: row.id, type: row.type, at: row.at, data: row.data })
  return `event: telemetry\ndata: ${data}\n\n`
}
