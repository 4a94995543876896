// How far an array is, while pond run waits for it: a line from time to time, and at its end where to look. Output is read element by element.
import type { JobView } from '../../protocol/consumer.ts'
import { isFinal, type TallyView } from '../../protocol/job.ts'
import type { Clock } from '../../system/clock.ts'
import type { JobWatch } from '../watch.ts'

/** Between two lines. */
const TELL_MS = 5000

interface ArrayParts {
  readonly clock: Clock
  readonly watch: JobWatch
  readonly note: (text: string) => Promise<void>
}

/** Resolves with the array as it ended. */
export async function attendArray({ clock, watch, note }: ArrayParts): Promise<JobView> {
  let told = clock.monotonic()
  for (let seen = -1; ; ) {
    const job = await watch.until(({ state, version }) => version > seen || isFinal(state))
    if (isFinal(job.state)) {
      await note(describeEnd(job))
      return job
    }
    seen = job.version
    if (!job.array || clock.monotonic() - told < TELL_MS) continue
    told = clock.monotonic()
    await note(`${job.id}: ${describeTally(job.array)}`)
  }
}

/** `12 of 100 ended (2 failed), 8 under way`. */
export function describeTally({ count, queued, under_way, failed, cancelled, expired }: TallyView): string {
  const bad = Object.entries({ failed, cancelled, expired }).filter(([, number]) => number > 0)
  const how = bad.map(([name, number]) => `${number} ${name}`).join(', ')
  const now = under_way > 0 ? `, ${under_way} under way` : ''
  return `${count - queued - under_way} of ${count} ended${how && ` (${how})`}${now}`
}

function describeEnd({ id, state, array }: JobView): string {
  const next = state === 'succeeded' ? `pond logs ${id}.${array?.from ?? 0}` : `pond ps --array ${id} --state failed`
  return `${id} ${state}: ${array ? describeTally(array) : ''}; ${next}`
}
