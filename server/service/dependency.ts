// Jobs that wait for others. What each waits for are rows, which go as the others end as they should; with the last of them the job is released. One end may
// release many thousands, so that happens behind its commit, some at a time, and goes on after a restart.
import { Refusal } from '../../src/protocol/error.ts'
import type { JobId, ProjectId } from '../../src/protocol/id.ts'
import { isFinal, type JobSpec } from '../../src/protocol/job.ts'
import type { WriteTx } from '../store/contract.ts'
import type { DependencyRow, JobRow } from '../store/row.ts'
import { changeJob, type Write } from './change.ts'
import type { Core } from './core.ts'
import { findAny } from './element.ts'

type After = NonNullable<JobSpec['after']>[number]

/** Of all jobs of one submission together: they are looked up in one write. */
const AFTER_MOST = 10_000

/** What a job waits for, and how that is said in an error. */
export interface Wanted {
  readonly after: readonly After[]
  /** What stands before the field's name. */
  readonly field: string
}

/** A place in the same batch: `#0` is its first job. */
const PLACE = /^#(0|[1-9]\d*)$/

const textOf = (one: After) => (typeof one === 'string' ? one : one.job)
const onOf = (one: After): DependencyRow['on'] => (typeof one === 'string' ? 'success' : one.on)

/** The places of a batch in an order in which each job stands behind those that it waits for. Refused where jobs would wait for each other for ever. */
export function inOrder(batch: readonly Wanted[]): readonly number[] {
  const all = batch.reduce((sum, { after }) => sum + after.length, 0)
  if (all > AFTER_MOST) {
    const says = `all after together must not have more than ${AFTER_MOST} entries`
    throw new Refusal('invalid_field', says, { field: `${batch[0]?.field ?? ''}after`, most: AFTER_MOST })
  }
  const places = batch.map((one) => placesOf(one, batch.length))
  const open = places.map(({ size }) => size)
  const order = [...batch.keys()].filter((index) => open[index] === 0)
  // It grows while it is walked.
  for (const done of order) {
    for (const [index, waitsFor] of places.entries()) {
      if (waitsFor.delete(done) && waitsFor.size === 0) order.push(index)
    }
  }
  const stuck = places.findIndex(({ size }) => size > 0)
  if (stuck < 0) return order
  const field = `${batch[stuck]?.field ?? ''}after`
  throw new Refusal('invalid_field', `${field}: jobs of the batch wait for each other in a circle`, { field })
}

function placesOf({ after, field }: Wanted, size: number): Set<number> {
  const places = new Set<number>()
  for (const [at, one] of after.entries()) {
    const place = PLACE.exec(textOf(one))?.[1]
    if (place === undefined) continue
    if (Number(place) >= size) throw unknown(`${field}after.${at}`, `the batch has no job #${place}`)
    places.add(Number(place))
  }
  return places
}

export interface Dependencies {
  /** What is still to come. */
  readonly open: ReadonlyMap<JobId, DependencyRow['on']>
  /** One that ended otherwise than the job needs. */
  readonly broken?: string
}

/** Looks up what a new job waits for. `batch`: the jobs of its batch, of which those that it waits for are rows by now. */
export async function lookUp(
  tx: WriteTx,
  { after, field }: Wanted,
  { projectId, batch }: { readonly projectId: ProjectId; readonly batch: readonly JobRow[] },
): Promise<Dependencies> {
  const open = new Map<JobId, DependencyRow['on']>()
  let broken: string | undefined
  for (const [at, one] of after.entries()) {
    const place = PLACE.exec(textOf(one))?.[1]
    const id = (place === undefined ? textOf(one) : batch[Number(place)]?.id) as JobId
    const other = await findAny(tx, id)
    if (other?.projectId !== projectId) throw unknown(`${field}after.${at}`, `there is no job ${textOf(one)}`)
    const on = onOf(one)
    if (!isFinal(other.law.state)) open.set(id, open.get(id) === 'success' ? 'success' : on)
    else if (!isMet(other, on)) broken ??= sayBroken(other)
  }
  return { open, ...(broken === undefined ? {} : { broken }) }
}

const isMet = ({ law }: JobRow, on: DependencyRow['on']) => on === 'end' || law.state === 'succeeded'

const sayBroken = ({ id, law }: JobRow) => `${id} ${law.state}`

function unknown(field: string, says: string): Refusal {
  return new Refusal('invalid_field', `${field}: ${says}`, { field })
}

/** Of one write: the others wait for the next. */
const SETTLED_AT_ONCE = 256

export function startDependencies(core: Core): void {
  core.settle.listen((ids) => {
    for (const id of new Set(ids)) void settle(core, id)
  })
}

/** A job ended: who waits for it goes on or ends too. */
async function settle(core: Core, id: JobId): Promise<void> {
  try {
    while ((await core.store.write((tx) => settleSome({ core, tx }, id))) === SETTLED_AT_ONCE);
    core.awaited.delete(id)
  } catch (error) {
    core.log.warn('dependency.failed', { error: String(error), job_id: id })
    core.settling.add(core.clock.now() + core.settings.sweepMs, id)
  }
}

async function settleSome(write: Write, id: JobId): Promise<number> {
  const { tx } = write
  const other = await findAny(tx, id)
  if (other && !isFinal(other.law.state)) return 0
  const rows = await tx.listDependents(id, SETTLED_AT_ONCE)
  for (const row of rows) {
    await tx.deleteDependency(row)
    const job = await tx.getJob(row.jobId)
    if (job?.law.state !== 'waiting') continue
    if (other ? !isMet(other, row.on) : row.on === 'success')
      await block(write, job, other ? sayBroken(other) : `${id} is gone`)
    else if ((await tx.listDependencies(job.id, 1)).length === 0) {
      await changeJob(write, { row: job, event: { type: 'release' }, who: { by: 'pond' } })
    }
  }
  return rows.length
}

/** Ends a job that waited for what did not come. */
export async function block(write: Write, row: JobRow, broken: string): Promise<JobRow> {
  const who = { by: 'pond', note: `it waited for ${broken}` }
  const next = await changeJob(write, { row, event: { type: 'block' }, who })
  return 'refused' in next ? row : next
}
