// The laws of job and lease together, as a service drives them: the lease is asked first, then the job hears what the lease says.
import { AssertionError, strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { causes, isFinal } from '../../src/protocol/job.ts'
import { type Job, type JobEvent, newJob, stepJob, type Verdict } from '../../src/state/job.ts'
import { isLive, type Lease, type LeaseEvent, stepLease } from '../../src/state/lease.ts'
import { isPassedOver } from '../../src/state/match.ts'
import type { Policy } from '../../src/state/retry.ts'

interface World {
  job: Job
  readonly leases: Map<string, Lease>
  now: number
}

/** A word about the claim that was made `back` claims ago. */
interface Word {
  readonly type: LeaseEvent['type']
  readonly back: number
  readonly verdict: Verdict
  readonly loss: 'worker_lost' | 'revoked'
}
type Act = { readonly type: 'claim' | 'cancel' | 'expire' | 'release' | 'block' } | Word

const passOverMs = 300

const policies: fc.Arbitrary<Policy> = fc.record({
  idempotent: fc.boolean(),
  onLost: fc.constantFrom('fail' as const, 'rerun' as const, 'hold' as const),
  holdMs: fc.constantFrom(0, 50),
  retryOn: fc.subarray(causes),
  attempts: fc.integer({ min: 1, max: 4 }),
  backoffMs: fc.nat(40),
})
const verdicts: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constant({ cause: 'exit' as const, rc: 0 }),
  fc.constant({ cause: 'cancelled' as const }),
  fc.record({ cause: fc.constantFrom(...causes), rc: fc.integer({ min: 0, max: 255 }) }),
)
const words: fc.Arbitrary<Word> = fc.record({
  type: fc.constantFrom(
    ...(['confirm', 'confirm', 'renew', 'decline', 'finish', 'unconfirmed', 'lapse', 'holdOver', 'revoke'] as const),
  ),
  back: fc.oneof(fc.constant(0), fc.nat(3)),
  verdict: verdicts,
  loss: fc.constantFrom('worker_lost' as const, 'revoked' as const),
})
const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ type: 'claim' as const }) },
  { weight: 6, arbitrary: words },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...(['cancel', 'expire', 'release', 'block'] as const)).map((type) => ({ type })),
  },
)
const stories = fc.array(fc.tuple(acts, fc.nat(60)), { maxLength: 50, size: 'max' })

function apply(world: World, act: Act): void {
  if ('back' in act) hear(world, act)
  else ask(world, act)
}

function ask(world: World, act: Exclude<Act, Word>): void {
  const claimId = `c${world.leases.size}`
  const event: JobEvent =
    act.type === 'claim'
      ? { type: 'claim', claimId }
      : act.type === 'cancel'
        ? { type: 'cancel', by: 'key_a' }
        : { type: act.type }
  const answer = stepJob(world.job, event, world.now)
  if ('refused' in answer) return
  world.job = answer.job
  if (act.type !== 'claim') return
  const { onLost, holdMs } = world.job.policy
  world.leases.set(claimId, { state: 'granted', holdMs: onLost === 'hold' ? holdMs : 0 })
}

function hear(world: World, word: Word): void {
  const [claimId, lease] = [...world.leases].at(-1 - word.back) ?? []
  if (claimId === undefined || lease === undefined) return
  const event: LeaseEvent =
    word.type === 'finish' ? { type: 'finish', digest: JSON.stringify(word.verdict) } : { type: word.type }
  const answer = stepLease(lease, event, world.now)
  if ('refused' in answer) return
  world.leases.set(claimId, answer.lease)
  if (!answer.job) return
  const asked = stepJob(world.job, jobEvent(answer.job, claimId, { word, now: world.now }), world.now)
  assert.ok('job' in asked, `the lease let ${word.type} through and the job refused ${answer.job}`)
  world.job = asked.job
}

function jobEvent(
  type: 'confirm' | 'giveBack' | 'finish' | 'lose',
  claimId: string,
  { word, now }: { readonly word: Word; readonly now: number },
): JobEvent {
  switch (type) {
    case 'confirm':
      return { type, claimId }
    case 'giveBack': {
      const passOver = { workerId: `w-${claimId}`, until: now + passOverMs }
      return { type, claimId, ...(word.type === 'decline' ? { passOver } : {}) }
    }
    case 'finish':
      return { type, claimId, verdict: word.verdict }
    case 'lose':
      return { type, claimId, cause: word.loss }
    default:
      return type satisfies never
  }
}

/** What holds in every world. */
function checkWorld({ job, leases }: World): void {
  const live = [...leases].filter(([, lease]) => isLive(lease.state))
  assert.deepEqual(
    live.map(([id]) => id),
    job.claimId === undefined ? [] : [job.claimId],
    'the live lease is the claim',
  )
  const inHand = job.state === 'claimed' || job.state === 'running'
  assert.equal('claimId' in job, inHand, 'a claim is there exactly in claimed and running')
  const state = live[0]?.[1].state
  assert.equal(job.state === 'claimed', state === 'granted', 'claimed is granted')
  assert.equal(job.state === 'running', state === 'confirmed' || state === 'held', 'running is confirmed or held')
  assert.equal(job.epoch, leases.size, 'one epoch a claim')
  assert.ok(job.attempts <= job.policy.attempts && job.attempts <= job.epoch, 'attempts are bounded')
  assert.equal('end' in job, isFinal(job.state), 'an end is there exactly in a final state')
  assert.ok(!('notBefore' in job) || job.state === 'queued', 'only what is queued waits for its time')
  assert.ok(job.cancel === undefined || inHand || isFinal(job.state), 'nothing is queued against a cancel')
}

/** What holds between a world and the next. */
function checkStep(before: World, act: Act, after: World): void {
  const claimed = act.type === 'claim' && after.job !== before.job
  assert.equal(after.job.epoch - before.job.epoch, claimed ? 1 : 0, 'the epoch rises by one at a claim and never else')
  const burned = after.job.attempts - before.job.attempts
  assert.ok(burned === 0 || (burned === 1 && before.job.state === 'claimed'), 'a claim burns one attempt at most')
  if (isFinal(before.job.state)) assert.equal(after.job, before.job, 'a terminal state absorbs')
  if (claimed) assert.ok((before.job.notBefore ?? 0) <= after.now, 'nothing is claimed before its time')
  if (after.job.cancel !== before.job.cancel) assert.equal(before.job.cancel, undefined, 'the first cancel stands')
  if ('back' in act) checkWord(before, act, after)
}

function checkWord(before: World, word: Word, after: World): void {
  const [claimId, lease] = [...before.leases].at(-1 - word.back) ?? []
  const { job } = after
  if (lease === undefined || claimId === undefined || !isLive(lease.state)) {
    assert.equal(job, before.job, 'a late word never changes the job')
    return
  }
  if (job === before.job) return
  const lost = word.type === 'lapse' || word.type === 'holdOver' || word.type === 'revoke'
  const ended = lost || (word.type === 'finish' && word.verdict.cause === 'worker_lost')
  if (ended && before.job.cancel) assert.equal(job.state, 'cancelled', 'lost with a cancel on record is cancelled')
  if (word.type === 'finish' && word.verdict.cause === 'exit' && word.verdict.rc === 0) {
    assert.equal(job.state, 'succeeded', 'success beats a pending cancel')
  }
  if (word.type === 'decline' || word.type === 'unconfirmed') {
    assert.equal(job.attempts, before.job.attempts, 'no attempt is burned')
    assert.equal(job.state, before.job.cancel ? 'cancelled' : 'queued')
  }
  if (word.type === 'decline' && job.state === 'queued') {
    assert.ok(isPassedOver(job.passedOver, `w-${claimId}`, after.now), 'the worker is passed over')
    assert.ok(!isPassedOver(job.passedOver, `w-${claimId}`, after.now + passOverMs), 'and not forever')
  }
}

t.test('any story of claims and words keeps the fence', async (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(policies, fc.constantFrom('queued' as const, 'waiting' as const), stories, (policy, state, story) => {
      const world: World = { job: newJob(policy, state), leases: new Map(), now: 1000 }
      for (const [act, passed] of story) {
        world.now += passed
        const before = { ...world, leases: new Map(world.leases) }
        apply(world, act)
        checkWorld(world)
        checkStep(before, act, world)
        if (world.job !== before.job) seen.add(`${before.job.state} ${act.type} ${world.job.state}`)
      }
    }),
    // A fixed seed, so that the rare paths below are always among the stories.
    { numRuns: 3000, seed: 1 },
  )
  const rare = [
    'claimed decline queued',
    'running finish queued',
    'running holdOver cancelled',
    'claimed finish succeeded',
  ]
  for (const path of rare) t.ok(seen.has(path), `the stories came through: ${path}`)
})

t.test('a job that every attempt loses ends after its last one', async (t) => {
  fc.assert(
    fc.property(policies, (drawn) => {
      const policy: Policy = { ...drawn, idempotent: true, onLost: 'rerun' }
      const world: World = { job: newJob(policy, 'queued'), leases: new Map(), now: 0 }
      const word = { back: 0, verdict: { cause: 'exit' }, loss: 'worker_lost' } as const
      for (let round = 0; round < policy.attempts; round++) {
        assert.equal(world.job.state, 'queued')
        world.now = world.job.notBefore ?? world.now
        for (const act of [{ type: 'claim' }, { ...word, type: 'confirm' }, { ...word, type: 'revoke' }] as const)
          apply(world, act)
      }
      assert.equal(world.job.state, 'failed')
      assert.equal(world.job.attempts, policy.attempts)
    }),
    { numRuns: 300 },
  )
  t.pass('300 policies')
  t.throws(
    () => checkWorld({ job: { ...newJob(policyOnce, 'queued'), epoch: 1 }, leases: new Map(), now: 0 }),
    AssertionError,
  )
})

const policyOnce: Policy = { idempotent: false, onLost: 'fail', holdMs: 0, retryOn: [], attempts: 1, backoffMs: 0 }
