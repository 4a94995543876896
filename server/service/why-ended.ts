// How it is known why a job ended: from the step that ended it and the claim that this step is about, or for what never began from its array's.
import { elementId } from '../../src/protocol/id.ts'
import { causeTable, isFinal } from '../../src/protocol/job.ts'
import type { WhyView } from '../../src/protocol/why.ts'
import type { ClaimRow, JobRow, TransitionRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { readNeeds } from './line.ts'
import { nameOf } from './why-waiting.ts'

type Ended = NonNullable<WhyView['ended']>

interface Evidence {
  /** Those of the array for an element that never began. */
  readonly steps: readonly TransitionRow[]
  readonly of: JobRow | undefined
}

/** What an earlier attempt said is no evidence of the end. */
export async function endOf(core: Core, row: JobRow, { steps, of }: Evidence): Promise<Ended | undefined> {
  const { law } = row
  if (!law.end) return undefined
  const last = of ? stepOf(steps, law.state) : steps.find(({ to }) => isFinal(to))
  if (!last) return undefined
  const { cause, rc } = law.end
  const at = of ? last.at : law.end.at
  const claimId = of ? undefined : last.claimId
  const claim = claimId && (await core.store.read((tx) => tx.getClaim(claimId)))
  const cancel = (of ?? row).law.cancel
  return {
    ...{ cause, means: causeTable[cause], at, by: last.by, note: last.note, rc, attempts: law.attempts },
    ...(signals.has(cause) && rc !== undefined && rc > 128 ? { signal: rc - 128 } : {}),
    ...(cause === 'cancelled' || !of ? { cancelled_by: cancel?.by, cancel_requested_at: cancel?.at } : {}),
    ...(claim ? { worker: nameOf(core, claim.workerId), ...timesOf(row, claim, at) } : {}),
    max_rss_bytes: claim ? claim.usage?.max_rss_bytes : undefined,
    ...(cause === 'oom' && { memory_bytes: readNeeds(row.needs).memory_bytes }),
    ...(await limitOf(core, row, at)),
    ...firstOf(row),
    attested: claim ? claim.attestationId !== undefined : false,
  }
}

/** What is ended by a signal, be it from here, from the kernel or from a stranger. */
const signals: ReadonlySet<string> = new Set(['signal', 'oom', 'timeout', 'cancelled', 'drained'])

/** The step by which what of an array had not begun came to its end; the array itself may have gone on. */
function stepOf(steps: readonly TransitionRow[], state: JobRow['law']['state']): TransitionRow | undefined {
  const isIt = (by: string) => (state === 'cancelled' ? by !== 'pond' : by === 'pond')
  const own = steps.filter(({ from, to }) => from !== undefined && (from === to || isFinal(to)))
  return own.find(({ by }) => isIt(by)) ?? own.at(-1)
}

function timesOf(
  row: JobRow,
  { startedAt, usage }: ClaimRow,
  at: number,
): Pick<Ended, 'started_at' | 'ran_ms' | 'waited_ms'> {
  if (startedAt === undefined) return {}
  return {
    started_at: startedAt,
    ran_ms: usage?.wall_ms ?? Math.max(0, at - startedAt),
    waited_ms: Math.max(0, startedAt - row.createdAt),
  }
}

async function limitOf(
  core: Core,
  { id, law, createdAt, expiresAt }: JobRow,
  at: number,
): Promise<Pick<Ended, 'limit_ms' | 'waited_ms'>> {
  if (law.end?.cause === 'ttl' && expiresAt !== undefined) {
    return { limit_ms: expiresAt - createdAt, waited_ms: Math.max(0, at - createdAt) }
  }
  if (law.end?.cause !== 'timeout') return {}
  const bytes = await core.store.read((tx) => tx.getSpec(id))
  const { timeout_ms } = bytes ? (JSON.parse(bytes.toString('utf8')) as { timeout_ms?: number }) : {}
  return timeout_ms === undefined ? {} : { limit_ms: timeout_ms }
}

/** Of an array, with the element from the version on that remembers it. */
function firstOf({ id, law: { array } }: JobRow): Pick<Ended, 'first'> {
  if (!array?.first) return {}
  const { index, cause, rc } = array.first
  const job = index === undefined ? {} : { job: elementId(id, index) }
  return { first: { ...job, cause, ...(rc === undefined ? {} : { rc }) } }
}
