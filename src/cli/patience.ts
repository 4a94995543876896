// How long a verb tries to reach pond before it gives up, and calls that last as long.
import type { Answer, Call, Client } from '../client/contract.ts'
import type { RouteName } from '../protocol/route.ts'
import { formatDuration } from './duration.ts'
import type { Io } from './io.ts'
import { createOutage, type Outage } from './watch.ts'

/** While pond is away. */
export const PATIENCE_MS = 10_000

export interface Patience {
  /** Ends every try. */
  readonly signal: AbortSignal
  readonly outage: Outage
}

export interface Patient extends Patience {
  /** Begins anew after so long: pond answered, and named a time. */
  readonly extend: (byMs: number) => void
}

/** One try; with somebody's patience as many as that allows. */
export function ask<N extends RouteName>(
  client: Client,
  name: N,
  { patience, ...call }: Call<N> & { readonly patience?: Patience | undefined } = {},
): Promise<Answer<N>> {
  if (!patience) return client.call(name, call as Call<N>)
  return client.persist(name, { ...(call as Call<N>), signal: patience.signal }, patience.outage.failed)
}

export async function withPatience<T>(
  { io, note }: { readonly io: Pick<Io, 'clock'>; readonly note: (text: string) => Promise<void> },
  ms: number,
  work: (patience: Patient) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const arm = (afterMs: number) =>
    io.clock.after(afterMs, () => over.abort(new Error(`no answer within ${formatDuration(ms)}`)))
  let cancel = arm(ms)
  const extend = (byMs: number) => {
    cancel()
    cancel = arm(byMs + ms)
  }
  try {
    return await work({ signal: over.signal, outage: createOutage(note), extend })
  } finally {
    cancel()
  }
}
