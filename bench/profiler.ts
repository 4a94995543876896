// Loaded before a process of a bench: what it does between two words of its parent is sampled or counted. Nothing of the product knows of it.
import { type Profiler, Session } from 'node:inspector'
import { tell } from './worker-report.ts'

/** Twenty samples in the time of the cheapest call: finer ones slow the process down more than they show. */
const SAMPLE_US = 100

export type Order = 'sample' | 'told samples' | 'count' | 'told counts'

export interface Sampled {
  readonly profile: Profiler.Profile
}

/** How often each function ran, by `file function`. */
export interface Counted {
  readonly counts: Readonly<Record<string, number>>
}

const session = new Session()
session.connect()

function post<Answer>(method: string, params: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) =>
    session.post(method, params, (error, answer) => (error ? reject(error) : resolve(answer as Answer))),
  )
}

const obey: Readonly<Record<Order, () => Promise<object>>> = {
  async sample() {
    await post('Profiler.enable')
    await post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
    await post('Profiler.start')
    return {}
  },
  'told samples': async () => await post<Sampled>('Profiler.stop'),
  async count() {
    await post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
    // What it took before counts for nothing.
    await post('Profiler.takePreciseCoverage')
    return {}
  },
  async 'told counts'() {
    const { result } = await post<Profiler.TakePreciseCoverageReturnType>('Profiler.takePreciseCoverage')
    await post('Profiler.stopPreciseCoverage')
    const counts: Record<string, number> = {}
    for (const { url, functions } of result) {
      for (const { functionName, ranges } of functions) {
        const name = `${url} ${functionName}`
        counts[name] = (counts[name] ?? 0) + (ranges[0]?.count ?? 0)
      }
    }
    return { counts }
  },
}

process.on('message', ({ profile }: { profile?: Order }) => {
  if (profile) void obey[profile]().then((answer) => tell({ type: profile, ...answer }))
})
// Listening to its parent keeps nobody alive.
process.channel?.unref()
