// The owner's rules as law: each rule open and closed, what is not told, the order of reasons, and who is welcome.
import fc from 'fast-check'
import t from 'tap'
import {
  judgeRules,
  ROOM_BYTES_LEAST,
  type RuleFacts,
  type Rules,
  rules,
  whyClosed,
  whyUnwelcome,
} from '../../src/orchestrator/rule.ts'

const NOON = new Date(2026, 10, 23, 12).getTime()
const GiB = 1024 ** 3
const well: RuleFacts = {
  project: 'web',
  freeDiskBytes: 10 * GiB,
  onMains: true,
  idleMs: Number.POSITIVE_INFINITY,
  loadPerCore: 0.5,
  freeMemoryBytes: 4 * GiB,
}
const why = (owner: Rules, facts: Partial<RuleFacts> = {}) => whyClosed(judgeRules(owner, { ...well, ...facts }, NOON))

interface Row {
  readonly owner: Rules
  readonly open: Partial<RuleFacts>
  readonly closed: Partial<RuleFacts>
  readonly says: RegExp
}

const table: readonly Row[] = [
  {
    owner: { mains_only: true },
    open: { onMains: true },
    closed: { onMains: false },
    says: /on battery.*on mains only/,
  },
  { owner: { idle_minutes: 10 }, open: { idleMs: 600_000 }, closed: { idleMs: 599_999 }, says: /somebody uses this/ },
  {
    owner: { max_load: 0.8 },
    open: { loadPerCore: 0.8 },
    closed: { loadPerCore: 0.81 },
    says: /load.*above 0.8 a core/,
  },
  {
    owner: { min_free_memory_bytes: GiB },
    open: { freeMemoryBytes: GiB },
    closed: { freeMemoryBytes: GiB - 1 },
    says: /memory is short: less than 1.0 GiB/,
  },
  {
    owner: { min_free_disk_bytes: 5 * GiB },
    open: { freeDiskBytes: 5 * GiB },
    closed: { freeDiskBytes: 5 * GiB - 1 },
    says: /disk is full: less than 5.0 GiB/,
  },
  { owner: { projects: ['web', 'lab'] }, open: { project: 'lab' }, closed: { project: 'ads' }, says: /project ads/ },
]

t.test('each rule is met or not, to the last byte and millisecond', async (t) => {
  for (const { owner, open, closed, says } of table) {
    t.equal(why(owner, open), undefined, `${JSON.stringify(owner)} open`)
    t.match(why(owner, closed), says, `${JSON.stringify(owner)} closed`)
    t.equal(why({}, closed), undefined, 'without the rule nobody minds')
  }
  t.equal(why({ mains_only: false }, { onMains: false }), undefined, 'said to be no rule')
})

t.test('hours and pause', async (t) => {
  t.match(why({ hours: ['18:00-08:00'] }), /outside of the owner's hours: 18:00-08:00/)
  t.equal(why({ hours: ['18:00-08:00', 'mon 11:00-13:00'] }), undefined)
  t.match(why({ paused: true }), /paused by its owner/)
  t.equal(why({ paused: false }), undefined)
})

t.test('what is asked for and not told by the machine is not met', async (t) => {
  const silent: RuleFacts = { project: 'web', freeDiskBytes: undefined }
  for (const { owner } of table.slice(0, 4)) t.not(whyClosed(judgeRules(owner, silent, NOON)), undefined)
  t.equal(whyClosed(judgeRules({}, silent, NOON)), undefined, 'a disk that cannot be asked closes nothing')
})

t.test('without any rule a disk with hardly any room takes no jobs', async (t) => {
  t.equal(why({}, { freeDiskBytes: ROOM_BYTES_LEAST }), undefined)
  t.match(why({}, { freeDiskBytes: ROOM_BYTES_LEAST - 1 }), /disk is full/)
  t.match(why({ min_free_disk_bytes: 0 }, { freeDiskBytes: ROOM_BYTES_LEAST - 1 }), /disk is full/)
})

t.test('reasons tell others nothing that changes from look to look, and not when somebody typed', async (t) => {
  const busy = (idleMs: number, loadPerCore: number) => [
    why({ idle_minutes: 10 }, { idleMs }),
    why({ max_load: 0.1 }, { loadPerCore }),
  ]
  t.strictSame(busy(1000, 2), busy(61_000, 3))
})

t.test('closed by any rule is closed, and open by all is open', async (t) => {
  const owners = fc.subarray(table.map(({ owner }) => owner))
  const closings = fc.subarray(table.map(({ closed }) => closed))
  const law = fc.property(owners, closings, (some, closed) => {
    const facts: Partial<RuleFacts> = Object.assign({}, ...closed)
    const all: Rules = Object.assign({}, ...some)
    return some.some((owner) => why(owner, facts) !== undefined) === (why(all, facts) !== undefined)
  })
  t.doesNotThrow(() => fc.assert(law))
})

t.test('commands: a glob for the first word, or the first words; what is not named is not welcome', async (t) => {
  const owner: Rules = { commands: ['python3*', '/opt/tools/**', ['nice', '-n', '10']] }
  for (const command of [['python3.11', 'x.py'], ['/opt/tools/a/b'], ['nice', '-n', '10', 'make']])
    t.equal(whyUnwelcome(owner, command), undefined, command.join(' '))
  for (const command of [['sh', '-c', 'python3'], ['/usr/bin/python3'], ['nice', '-n', '1'], ['nice'], ['./python3']])
    t.match(whyUnwelcome(owner, command), /does not run the command "/, command.join(' '))
  t.equal(whyUnwelcome({}, ['anything']), undefined)
  t.equal(whyUnwelcome({ commands: ['[x'] }, ['[x']), undefined, 'a word that is no glob means itself')
})

t.test('rules are strict, and say which field is wrong', async (t) => {
  const issue = (value: unknown) => rules.safeParse(value).error?.issues[0]
  t.match(issue({ hours: ['mon-fri 18:00-08:00', 'noon'] }), { path: ['hours', 1], message: /"noon" are no hours/ })
  t.match(issue({ main_only: true }), { code: 'unrecognized_keys' })
  t.match(issue({ idle_minutes: 0 }), { path: ['idle_minutes'] })
  t.match(issue({ commands: [[]] }), { path: ['commands', 0] })
  t.equal(issue({ hours: ['sat,sun'], commands: ['a', ['b', 'c']], max_load: 0.5, paused: true }), undefined)
})
