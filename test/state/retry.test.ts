// Which attempts are tried again, and when.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { causes } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { type Policy, policyOf, retryAt } from '../../src/state/retry.ts'

const now = 1_000_000

t.test('the defaults', async (t) => {
  t.strictSame(policyOf({}), {
    idempotent: false,
    onLost: 'fail',
    holdMs: 0,
    retryOn: ['drained'],
    attempts: 3,
    backoffMs: 1000,
  })
  t.strictSame(policyOf({ idempotent: true }).retryOn, ['drained', 'worker_lost'], 'running twice does no harm')
  t.strictSame(policyOf({ idempotent: true, retry: { on: [] } }).retryOn, [], 'the job has the last word')
  t.strictSame(
    policyOf({ idempotent: true, on_lost: 'hold', hold_ms: 7, retry: { on: ['exit'], attempts: 1, backoff_ms: 0 } }),
    { idempotent: true, onLost: 'hold', holdMs: 7, retryOn: ['exit'], attempts: 1, backoffMs: 0 },
  )
})

t.test('which causes are tried again', async (t) => {
  const again = (policy: Policy) => causes.filter((cause) => retryAt(policy, { cause, used: 1, now }) !== undefined)
  t.strictSame(again(policyOf({})), ['drained'])
  t.strictSame(
    again(policyOf({ idempotent: true })),
    ['worker_lost', 'drained', 'revoked'],
    'a revoked worker is a lost one',
  )
  t.strictSame(again(policyOf({ retry: { on: ['exit', 'oom'] } })), ['exit', 'oom'], 'exit only if listed')
  t.strictSame(again(policyOf({ idempotent: true, on_lost: 'rerun', retry: { on: [] } })), ['worker_lost', 'revoked'])
  t.strictSame(again(policyOf({ retry: { on: ['revoked'] } })), ['revoked'])
  t.strictSame(again(policyOf({ retry: { on: causes, attempts: 1 } })), [], 'one attempt is one attempt')
})

t.test('the wait doubles from backoff_ms up to an hour', async (t) => {
  const policy = policyOf({ retry: { on: ['exit'], attempts: 100, backoff_ms: 1000 } })
  const waits = [1, 2, 3, 12, 13, 99].map((used) => (retryAt(policy, { cause: 'exit', used, now }) ?? now) - now)
  t.strictSame(waits, [1000, 2000, 4000, 2_048_000, limit.backoffMostMs, limit.backoffMostMs])
  t.equal(retryAt(policy, { cause: 'exit', used: 100, now }), undefined)
})

t.test('for any policy the wait has bounds and never shrinks', async (t) => {
  const policies: fc.Arbitrary<Policy> = fc.record({
    idempotent: fc.boolean(),
    onLost: fc.constantFrom('fail' as const, 'rerun' as const, 'hold' as const),
    holdMs: fc.nat(),
    retryOn: fc.subarray(causes),
    attempts: fc.integer({ min: 1, max: limit.attemptsMost }),
    backoffMs: fc.nat(limit.backoffMostMs),
  })
  fc.assert(
    fc.property(
      policies,
      fc.constantFrom(...causes),
      fc.integer({ min: 1, max: 120 }),
      fc.nat(),
      (policy, cause, used, at) => {
        const due = retryAt(policy, { cause, used, now: at })
        const next = retryAt(policy, { cause, used: used + 1, now: at })
        if (due === undefined) return assert.equal(next, undefined, 'no attempt after the last')
        assert.ok(used < policy.attempts)
        assert.ok(due >= at + policy.backoffMs && due <= at + limit.backoffMostMs)
        assert.ok(next === undefined || next >= due)
        assert.ok(Number.isSafeInteger(due))
      },
    ),
    { numRuns: 1000 },
  )
  t.pass('1000 policies')
})
