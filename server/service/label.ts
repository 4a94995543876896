// Labels of workers: what a code gives and a machine says, judged when it comes.
import { Refusal } from '../../src/protocol/error.ts'
import { type Charter, settleLabels, type Wish } from '../../src/state/label.ts'
import type { WorkerRow } from '../store/row.ts'

type WorkerLabels = Pick<WorkerRow, 'labels' | 'ownLabels'>

/** A machine that names a label that is not its to say is told which and what to do; its code stays as good as it was. */
export function labelsFor(code: Charter, worker: Wish): WorkerLabels | Refusal {
  const settled = settleLabels(code, worker)
  if (settled.ok) return { labels: settled.labels, ...(settled.own.length > 0 && { ownLabels: settled.own }) }
  const field = `worker.${settled.field}`
  return new Refusal('invalid_field', `${field}: ${settled.why}`, { field })
}

/** Those that an operator gave it; the others are its own word. */
export const grantedOf = ({ labels, ownLabels = [] }: WorkerLabels): string[] =>
  Object.keys(labels).filter((key) => !ownLabels.includes(key))
