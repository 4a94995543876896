// What swarm says, at the edges of its limits.
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { pollBody, pollReply, snapshotBody } from '../../src/protocol/orch.ts'
import { stateBody, statesBody, telemetryBody } from '../../src/protocol/word.ts'
import { bodies, digest, finalWord, ids } from './sample.ts'

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))
const word = { job_id: ids.job, claim_token: 'token', ...finalWord }

t.test('a final word has a cause', async (t) => {
  const { cause: _, ...without } = finalWord
  const result = stateBody.safeParse(without)
  t.strictSame(
    result.error?.issues.map((issue) => issue.path),
    [['cause']],
  )
  const { cause: __, ...inBatch } = word
  t.strictSame(
    statesBody.safeParse({ words: [word, inBatch] }).error?.issues.map((issue) => issue.path),
    [['words', 1, 'cause']],
  )
  t.ok(stateBody.safeParse({ claim_id: ids.clm, state: 'running' }).success)
  t.ok(stateBody.safeParse({ claim_id: ids.clm, state: 'declined', message: 'no disk' }).success)
})

t.test('a word at its limits', async (t) => {
  const takes = (fields: object) => stateBody.safeParse({ ...finalWord, ...fields }).success
  t.ok(takes({ rc: 0 }) && takes({ rc: 255 }))
  t.notOk(takes({ rc: -1 }) || takes({ rc: 256 }) || takes({ rc: 1.5 }))
  t.ok(takes({ result: JSON.stringify('ä'.repeat(limit.sealedInlineBytes / 2 - 1)) }))
  t.notOk(takes({ result: JSON.stringify(`${'ä'.repeat(limit.sealedInlineBytes / 2 - 1)}a`) }), 'bytes, not characters')
  t.notOk(takes({ message: 'm'.repeat(4097) }))
  t.notOk(takes({ cause: 'boredom' }))
  t.ok(takes({ streams: { 'artifact/1': finalWord.streams.stdout } }))
  t.notOk(takes({ streams: { 'artifact/x': finalWord.streams.stdout } }))
  t.notOk(takes({ streams: { stdout: { bytes: 1, sha256: digest, produced: 1, end: 'partly' } } }))
})

t.test('a batch of words at its limits', async (t) => {
  t.notOk(statesBody.safeParse({ words: [] }).success)
  t.ok(statesBody.safeParse({ words: times(limit.wordsPerCall, () => word) }).success)
  t.notOk(statesBody.safeParse({ words: times(limit.wordsPerCall + 1, () => word) }).success)
})

t.test('a poll at its limits', async (t) => {
  const takes = (fields: object) => pollBody.safeParse({ ...bodies.poll?.[0], ...fields }).success
  t.ok(takes({ wait_ms: limit.pollHoldMs }))
  t.notOk(takes({ wait_ms: limit.pollHoldMs + 1 }) || takes({ wait_ms: -1 }))
  t.notOk(takes({ seq: 0 }))
  t.ok(takes({ session: 's'.repeat(8) }) && takes({ session: 's'.repeat(128) }))
  t.notOk(takes({ session: 's'.repeat(7) }) || takes({ session: 's'.repeat(129) }))
  t.notOk(takes({ claim_key: 'k'.repeat(7) }))
  const claim = { claim_id: ids.clm, state: 'running' }
  t.ok(takes({ have: times(limit.havePerPoll, () => claim) }))
  t.notOk(takes({ have: times(limit.havePerPoll + 1, () => claim) }))
  t.notOk(takes({ have: [{ ...claim, state: 'dreaming' }] }))
  const worker = { worker_id: ids.wrk, free: { slots: 1 } }
  t.ok(takes({ workers: times(limit.workersPerBinding, () => worker) }))
  t.notOk(takes({ workers: times(limit.workersPerBinding + 1, () => worker) }))
})

t.test('telemetry and snapshots at their limits', async (t) => {
  const event = { id: 'e', type: 'model.call', at: 1 }
  const takes = (events: readonly object[]) => telemetryBody.safeParse({ claim_id: ids.clm, events }).success
  t.ok(takes(times(limit.eventsPerCall, () => event)))
  t.notOk(takes([]) || takes(times(limit.eventsPerCall + 1, () => event)))
  t.notOk(takes([{ ...event, type: 'Model' }]) || takes([{ ...event, id: '' }]))
  const snapshot = { session: 'session1', seq: 1, workers: [] }
  t.ok(snapshotBody.safeParse(snapshot).success)
  t.notOk(snapshotBody.safeParse({ ...snapshot, seq: 0 }).success)
})

t.test('a reply tolerates fields and directives of a later version', async (t) => {
  const reply = {
    protocol: 2,
    intents: [],
    directives: [{ type: 'sing', claim_id: ids.clm, song: 1 }],
    limits: { chunk_bytes: 1, poll_hold_ms: 1, words_per_call: 1, more: 1 },
    news: 1,
  }
  t.match(pollReply.parse(reply), { protocol: 2, directives: [{ type: 'sing' }] })
})

t.test('a worker names no cause that only pond can know', async (t) => {
  const says = (cause: string) =>
    stateBody.safeParse({ state: 'final', claim_id: `clm_${'0'.repeat(26)}`, cause, rc: 0 }).success
  for (const cause of ['exit', 'signal', 'worker_lost', 'drained', 'setup_failed']) t.ok(says(cause), cause)
  for (const cause of ['ttl', 'budget', 'dependency', 'revoked']) t.notOk(says(cause), cause)
})
