// Every cell of the lease's law, row by row.
import t from 'tap'
import type { Outcome } from '../../src/protocol/word.ts'
import {
  isLive,
  type Lease,
  type LeaseEvent,
  type LeaseStep,
  leaseStates,
  leaseTable,
  stepLease,
} from '../../src/state/lease.ts'
import { checkLaw, type Row } from './cell.ts'

const now = 1_000_000
const granted: Lease = { state: 'granted', holdMs: 0 }
const confirmed: Lease = { state: 'confirmed', holdMs: 0 }
const patient: Lease = { state: 'confirmed', holdMs: 500 }
const held: Lease = { state: 'held', holdMs: 500, heldUntil: now + 500 }
const ended: Lease = { state: 'ended', holdMs: 0, finalDigest: 'd1' }
const lost: Lease = { state: 'lost', holdMs: 0 }
const returned: Lease = { state: 'returned', holdMs: 0 }
const revoked: Lease = { state: 'revoked', holdMs: 0 }

type Answer = ReturnType<typeof stepLease>
const stale: Answer = { refused: 'stale' }
const silent = (lease: Lease, outcome: Outcome = 'accepted'): LeaseStep => ({ lease, outcome })
const asks = (lease: Lease, job: NonNullable<LeaseStep['job']>): LeaseStep => ({ lease, job, outcome: 'accepted' })
const word = (type: Exclude<LeaseEvent['type'], 'finish'>): LeaseEvent => ({ type })
const finish = (digest = 'd1'): LeaseEvent => ({ type: 'finish', digest })

const live: readonly Row<Lease, LeaseEvent, Answer>[] = [
  { says: 'the job runs', given: granted, event: word('confirm'), answer: asks(confirmed, 'confirm') },
  { says: 'is no confirmation', given: granted, event: word('renew'), answer: silent(granted) },
  { says: 'the job is given back', given: granted, event: word('decline'), answer: asks(returned, 'giveBack') },
  { says: 'the job ends', given: granted, event: finish(), answer: asks(ended, 'finish') },
  { says: 'the job is given back', given: granted, event: word('unconfirmed'), answer: asks(returned, 'giveBack') },
  { says: 'the attempt is lost', given: granted, event: word('lapse'), answer: asks(lost, 'lose') },
  { says: 'the attempt is lost', given: granted, event: word('revoke'), answer: asks(revoked, 'lose') },

  { says: 'was said before', given: confirmed, event: word('confirm'), answer: silent(confirmed, 'idempotent') },
  { says: 'is heard', given: confirmed, event: word('renew'), answer: silent(confirmed) },
  { says: 'the job ends', given: confirmed, event: finish(), answer: asks(ended, 'finish') },
  { says: 'the attempt is lost', given: confirmed, event: word('lapse'), answer: asks(lost, 'lose') },
  {
    says: 'is held if the job asks for it, which does not move',
    given: patient,
    event: word('lapse'),
    answer: silent(held),
  },
  { says: 'the attempt is lost', given: confirmed, event: word('revoke'), answer: asks(revoked, 'lose') },

  { says: 'it is back', given: held, event: word('confirm'), answer: silent(patient, 'idempotent') },
  { says: 'it is back', given: held, event: word('renew'), answer: silent(patient) },
  {
    says: 'a final word needs no renewal before it',
    given: held,
    event: finish('d2'),
    answer: asks({ state: 'ended', holdMs: 500, finalDigest: 'd2' }, 'finish'),
  },
  { says: 'the attempt is lost', given: held, event: word('holdOver'), answer: asks({ ...lost, holdMs: 500 }, 'lose') },
  {
    says: 'the attempt is lost',
    given: held,
    event: word('revoke'),
    answer: asks({ ...revoked, holdMs: 500 }, 'lose'),
  },
]

const dead: readonly Row<Lease, LeaseEvent, Answer>[] = [
  { says: 'the same word again', given: ended, event: finish('d1'), answer: silent(ended, 'idempotent') },
  { says: 'another word', given: ended, event: finish('d2'), answer: silent(ended, 'conflict') },
  {
    says: 'the first late word is kept',
    given: lost,
    event: finish('d1'),
    answer: { lease: { ...lost, finalDigest: 'd1' }, outcome: 'stale', kept: true },
  },
  {
    says: 'and said again still is',
    given: { ...lost, finalDigest: 'd1' },
    event: finish('d1'),
    answer: { lease: { ...lost, finalDigest: 'd1' }, outcome: 'stale', kept: true },
  },
  {
    says: 'another one is not',
    given: { ...lost, finalDigest: 'd1' },
    event: finish('d2'),
    answer: { lease: { ...lost, finalDigest: 'd1' }, outcome: 'stale' },
  },
  { says: 'is too late', given: returned, event: finish(), answer: stale },
  { says: 'is too late', given: revoked, event: finish(), answer: stale },
  ...[ended, lost, returned, revoked].flatMap((given) =>
    [word('confirm'), word('renew'), word('decline')].map((event) => ({
      says: 'is too late',
      given,
      event,
      answer: stale,
    })),
  ),
]

const closed = { confirm: [], renew: [], decline: [], finish: [] }

t.test('every state and event', async (t) => {
  checkLaw(t, {
    table: leaseTable,
    step: stepLease,
    reached: (answer) => ('lease' in answer ? answer.lease.state : undefined),
    now,
    subjects: [granted, confirmed, held, ended, lost, returned, revoked],
    events: [
      word('confirm'),
      word('renew'),
      word('decline'),
      finish(),
      word('unconfirmed'),
      word('lapse'),
      word('holdOver'),
      word('revoke'),
    ],
    cells: {
      granted: {
        confirm: ['confirmed'],
        renew: ['granted'],
        decline: ['returned'],
        finish: ['ended'],
        unconfirmed: ['returned'],
        lapse: ['lost'],
        revoke: ['revoked'],
      },
      confirmed: {
        confirm: ['confirmed'],
        renew: ['confirmed'],
        finish: ['ended'],
        lapse: ['held', 'lost'],
        revoke: ['revoked'],
      },
      held: {
        confirm: ['confirmed'],
        renew: ['confirmed'],
        finish: ['ended'],
        holdOver: ['lost'],
        revoke: ['revoked'],
      },
      ended: { ...closed, finish: ['ended'] },
      lost: { ...closed, finish: ['lost'] },
      returned: closed,
      revoked: closed,
    },
    rows: [...live, ...dead],
  })
})

t.test('three states fence the job', async (t) => {
  t.strictSame(leaseStates.filter(isLive), ['granted', 'confirmed', 'held'])
})
