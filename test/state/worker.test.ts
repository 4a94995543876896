// Every cell of the worker's law row by row, and how far any history of mishaps is trusted.
import fc from 'fast-check'
import t from 'tap'
import {
  allowance,
  newWorker,
  stepWorker,
  type Worker,
  type WorkerEvent,
  workerStates,
  workerTable,
} from '../../src/state/worker.ts'
import { checkLaw, type Row } from './cell.ts'

const now = 1_000_000
const ready = newWorker
const probation: Worker = { state: 'probation', mishaps: 3, pausedUntil: now + 1000 }
const quarantined: Worker = { state: 'quarantined', mishaps: 0, pausedUntil: 0 }
const revoked: Worker = { state: 'revoked', mishaps: 0, pausedUntil: 0 }

const word = (type: WorkerEvent['type']): WorkerEvent => ({ type })
const onProbation = (mishaps: number, pauseMs: number): Worker => ({
  state: 'probation',
  mishaps,
  pausedUntil: now + pauseMs,
})

const rows: readonly Row<Worker, WorkerEvent, ReturnType<typeof stepWorker>>[] = [
  { says: 'the first is noted', given: ready, event: word('mishap'), answer: { ...ready, mishaps: 1 } },
  { says: 'and the second', given: { ...ready, mishaps: 1 }, event: word('mishap'), answer: { ...ready, mishaps: 2 } },
  { says: 'the third is one too many', given: { ...ready, mishaps: 2 }, event: word('mishap'), answer: probation },
  { says: 'breaks the row', given: { ...ready, mishaps: 2 }, event: word('success'), answer: ready },
  { says: 'is locked away', given: ready, event: word('keyChanged'), answer: quarantined },
  { says: 'is over', given: ready, event: word('revoke'), answer: revoked },
  { says: 'the pause doubles', given: probation, event: word('mishap'), answer: onProbation(4, 2000) },
  { says: 'and again', given: onProbation(8, 0), event: word('mishap'), answer: onProbation(9, 60_000) },
  { says: 'up to a minute', given: onProbation(5000, 0), event: word('mishap'), answer: onProbation(5001, 60_000) },
  { says: 'ends it', given: probation, event: word('success'), answer: ready },
  { says: 'is locked away', given: probation, event: word('keyChanged'), answer: quarantined },
  { says: 'is over', given: probation, event: word('revoke'), answer: revoked },
  { says: 'starts anew', given: quarantined, event: word('reinstate'), answer: ready },
  { says: 'is over', given: quarantined, event: word('revoke'), answer: revoked },
]

const events = (['mishap', 'success', 'keyChanged', 'reinstate', 'revoke'] as const).map(word)

t.test('every state and event', async (t) => {
  checkLaw(t, {
    table: workerTable,
    step: stepWorker,
    reached: (answer) => ('state' in answer ? answer.state : undefined),
    now,
    subjects: [ready, probation, quarantined, revoked],
    events,
    cells: {
      ready: { mishap: ['ready', 'probation'], success: ['ready'], keyChanged: ['quarantined'], revoke: ['revoked'] },
      probation: { mishap: ['probation'], success: ['ready'], keyChanged: ['quarantined'], revoke: ['revoked'] },
      quarantined: { reinstate: ['ready'], revoke: ['revoked'] },
      revoked: {},
    },
    rows,
  })
})

t.test('how many claims a worker may get', async (t) => {
  t.equal(allowance(ready, 1000, now), Number.POSITIVE_INFINITY, 'ready: its room decides')
  t.equal(allowance(probation, 0, now + 999), 0, 'on probation: none in the pause')
  t.equal(allowance(probation, 0, now + 1000), 1, 'then one')
  t.equal(allowance(probation, 1, now + 1000), 0, 'at a time')
  t.equal(allowance(quarantined, 0, now), 0, 'quarantined: none')
  t.equal(allowance(revoked, 0, now), 0, 'revoked: none')
})

t.test('any history: three mishaps in a row and no fewer put a worker on probation, and it recovers', async (t) => {
  const history = fc.array(fc.tuple(fc.constantFrom(...events), fc.nat(100_000)), { maxLength: 60, size: 'max' })
  fc.assert(
    fc.property(history, (story) => {
      let worker = newWorker
      let time = now
      let inRow = 0
      for (const [event, passed] of story) {
        time += passed
        const answer = stepWorker(worker, event, time)
        if ('refused' in answer) continue
        inRow = event.type === 'mishap' ? inRow + 1 : 0
        if (worker.state === 'revoked') throw new Error('revoked absorbs')
        if (worker.state === 'quarantined' && event.type !== 'reinstate' && event.type !== 'revoke') {
          throw new Error('only a person ends a quarantine')
        }
        worker = answer
        const trusted = worker.state === 'ready' || worker.state === 'probation'
        if (trusted && worker.state !== (inRow >= 3 ? 'probation' : 'ready')) throw new Error(`${inRow} in a row`)
        const pauseMs = worker.pausedUntil - time
        if (worker.state === 'probation' && (pauseMs < 1000 || pauseMs > 60_000))
          throw new Error(`pauses ${pauseMs} ms`)
        if (!workerStates.includes(worker.state)) throw new Error(`left the law for ${worker.state}`)
      }
    }),
    { numRuns: 500 },
  )
  t.pass('500 histories')
})
