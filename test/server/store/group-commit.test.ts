// Group commit on a transaction that is only a script: what happens when begin, a statement, a savepoint or the commit fails.
import t from 'tap'
import { StoreFailing, StoreFull } from '../../../server/store/contract.ts'
import { GroupCommit, type Transaction } from '../../../server/store/group-commit.ts'
import { nextTurn } from '../../../server/store/turn.ts'
import type { Scope } from '../../../server/store/work.ts'
import type { Clock } from '../../../src/system/clock.ts'

interface Tx {
  say(word: string): Promise<void>
  afterCommit(run: () => void): void
}

type Verb = 'begin' | 'commit' | 'rollback' | 'save' | 'keep' | 'undo'

const full = new Error('full')
const broken = new Error('broken')
const notSynced = new Error('not synced')

/** Writes down what is asked of it, fails where the test says so, and drops the transaction at the words in `dropping`. */
function createScript(
  parts: { readonly failing?: Partial<Record<Verb, Error>>; readonly dropping?: Record<string, Error> } = {},
) {
  const calls: string[] = []
  const failing: Partial<Record<Verb, Error>> = { ...parts.failing }
  const dropping: Record<string, Error> = { ...parts.dropping }
  let stands = false
  const verb = (name: Verb, after?: boolean) => () => {
    calls.push(name)
    const error = failing[name]
    if (error) throw error
    stands = after ?? stands
  }
  const transaction: Transaction<Tx> = {
    begin: verb('begin', true),
    commit: verb('commit', false),
    rollback: verb('rollback', false),
    save: verb('save'),
    keep: verb('keep'),
    undo: verb('undo'),
    stands: () => stands,
    blame: (error) => (error === full ? 'full' : error === notSynced ? 'fsync' : 'other'),
    tx: (scope: Scope) => ({
      say: (word) =>
        scope.run(() => {
          calls.push(word)
          const error = dropping[word]
          if (!error) return
          stands = false
          throw error
        }),
      afterCommit: (run) => void scope.effects.push(run),
    }),
  }
  return { calls, failing, dropping, transaction }
}

type Script = ReturnType<typeof createScript>

function createGroup({ transaction }: Script, monotonic = () => 0) {
  const fatal: unknown[] = []
  const clock: Clock = { now: () => 0, monotonic, after: () => () => {} }
  return { fatal, group: new GroupCommit<Tx>({ transaction, clock, events: { fatal: (error) => fatal.push(error) } }) }
}

/** The same with somebody who measures. Each look at the clock is a millisecond. */
function createMeasuredGroup({ transaction }: Script) {
  let [nowMs, told] = [0, [] as string[]]
  const clock: Clock = { now: () => 0, monotonic: () => nowMs++, after: () => () => {} }
  const events = {
    fatal: () => {},
    committed: (works: number, tookMs: number) => void told.push(`${works} in ${tookMs} ms`),
    failed: (blame: string) => void told.push(blame),
  }
  return { told, group: new GroupCommit<Tx>({ transaction, clock, events }) }
}

const say = (word: string) => (tx: Tx) => tx.say(word)

t.test('who measures hears of each group once, and of what was not stored', async (t) => {
  const script = createScript({ dropping: { gone: full } })
  const { told, group } = createMeasuredGroup(script)
  const write = (...words: string[]) => Promise.allSettled(words.map((word) => group.write(say(word))))
  await write('a', 'b', 'c')
  t.strictSame(told.splice(0), ['3 in 1 ms'])
  await write('a', 'gone')
  t.strictSame(told.splice(0), ['full'], 'the transaction is gone: none of the group is stored')
  await Promise.allSettled([group.write(say('a')), group.write(() => Promise.reject(full))])
  t.strictSame(told.splice(0), ['full', '2 in 1 ms'], 'one alone found no room')
  script.failing.commit = notSynced
  await write('a')
  t.strictSame(told, ['fsync'])
})

t.test('works that wait at the same time share a transaction, and the first needs no savepoint', async (t) => {
  const script = createScript()
  const { group } = createGroup(script)
  await Promise.all(['a', 'b', 'c'].map((word) => group.write(say(word))))
  t.equal(script.calls.join(' '), 'begin a save b keep save c keep commit')
})

t.test('a refusal is undone: by starting anew while nothing is there, by its savepoint after', async (t) => {
  const script = createScript()
  const { group } = createGroup(script)
  const refuse = (word: string) => async (tx: Tx) => {
    await tx.say(word)
    throw new Error(word)
  }
  const outcomes = await Promise.allSettled([group.write(refuse('a')), group.write(say('b')), group.write(refuse('c'))])
  t.strictSame(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled', 'rejected'],
  )
  t.equal(script.calls.join(' '), 'begin a rollback begin b save c undo commit')
})

t.test('a full device at the commit fails the group, refusals included, and the next group goes on', async (t) => {
  const script = createScript({ failing: { commit: full } })
  const { group, fatal } = createGroup(script)
  const effects: string[] = []
  const writes = [
    group.write(async (tx) => tx.afterCommit(() => effects.push('applied'))),
    group.write(async () => {
      throw new Error('refused because of what the neighbour wrote')
    }),
  ]
  for (const write of writes) await t.rejects(write, { name: 'StoreFull', cause: full })
  t.strictSame([effects, fatal], [[], []])
  t.equal(script.calls.at(-1), 'rollback')
  delete script.failing.commit
  await group.write(say('after'))
  t.equal(script.calls.slice(-3).join(' '), 'begin after commit')
})

t.test('a commit that failed otherwise is never tried again: fatal once, later writes reject', async (t) => {
  for (const error of [notSynced, broken]) {
    const script = createScript({ failing: { commit: error } })
    const { group, fatal } = createGroup(script)
    const first = Array.from({ length: 300 }, (_, index) => group.write(say(`${index}`)))
    const outcomes = await Promise.allSettled(first)
    t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason instanceof StoreFailing))
    delete script.failing.commit
    await t.rejects(group.write(say('late')), StoreFailing)
    t.strictSame(fatal, [error])
    t.equal(script.calls.filter((call) => call === 'commit').length, 1, 'those that waited were not begun')
    t.notOk(script.calls.includes('299'))
  }
})

t.test('a begin that fails fails its group and no later one', async (t) => {
  const script = createScript({ failing: { begin: broken } })
  const { group, fatal } = createGroup(script)
  for (const write of ['a', 'b'].map((word) => group.write(say(word))))
    await t.rejects(write, { name: 'StoreFailing', cause: broken })
  t.equal(script.calls.join(' '), 'begin')
  delete script.failing.begin
  await group.write(say('c'))
  t.strictSame(fatal, [])
})

t.test(
  'a statement that drops the transaction fails those begun, is fenced, and leaves the rest their turn',
  async (t) => {
    const script = createScript({ dropping: { bad: full } })
    const { group, fatal } = createGroup(script)
    const stubborn = async (tx: Tx) => {
      await tx.say('bad').catch(() => {})
      await t.rejects(tx.say('outside of any transaction'), full)
    }
    const writes = [group.write(say('a')), group.write(stubborn), group.write(say('c'))] as const
    await t.rejects(writes[0], StoreFull)
    await t.rejects(writes[1], StoreFull)
    await writes[2]
    t.equal(script.calls.join(' '), 'begin a save bad begin c commit')
    t.strictSame(fatal, [])
  },
)

t.test('a full device that costs only a statement fails only its work', async (t) => {
  const { group, fatal } = createGroup(createScript())
  const refused = group.write(async () => {
    throw full
  })
  const fine = group.write(say('b'))
  await t.rejects(refused, { name: 'StoreFull', cause: full })
  await fine
  t.strictSame(fatal, [])
})

t.test('a failed fsync in the middle is fatal too', async (t) => {
  const script = createScript({ dropping: { bad: notSynced } })
  const { group, fatal } = createGroup(script)
  await t.rejects(group.write(say('bad')), StoreFailing)
  t.strictSame(fatal, [notSynced])
})

t.test('a savepoint that cannot be undone costs the group, and a rollback that fails costs the store', async (t) => {
  const script = createScript({ failing: { undo: broken } })
  const { group, fatal } = createGroup(script)
  const refusing = async () => {
    throw new Error('a refusal')
  }
  for (const write of [group.write(say('a')), group.write(refusing)]) await t.rejects(write, { cause: broken })
  t.equal(script.calls.at(-1), 'rollback')
  t.strictSame(fatal, [])
  script.failing.rollback = new Error('secondary')
  for (const write of [group.write(say('a')), group.write(refusing)]) await t.rejects(write, { cause: broken })
  t.strictSame(fatal, [broken], 'what is told is the first failure')
})

t.test('a work that awaits something foreign is given up, however it comes to rest', async (t) => {
  const script = createScript()
  const { group } = createGroup(script)
  const late: Promise<unknown>[] = []
  const slow = async (tx: Tx) => {
    await tx.say('slow')
    await nextTurn()
    late.push(tx.say('late').catch((error: unknown) => error))
    throw new Error('nobody hears it')
  }
  const writes = [group.write(say('a')), group.write(slow), group.write(say('c'))] as const
  await t.rejects(writes[1], { message: /awaited something other than its tx/ })
  await Promise.all([writes[0], writes[2]])
  await nextTurn()
  t.match(await late[0], { message: /after its work had ended/ })
  t.equal(script.calls.join(' '), 'begin a save slow undo save c keep commit')
})

t.test('a long chain of awaits on the tx is no stall', async (t) => {
  const { group } = createGroup(createScript())
  const count = await group.write(async (tx) => {
    for (let index = 0; index < 10_000; index += 1) await tx.say('again')
    return 10_000
  })
  t.equal(count, 10_000)
})

t.test('a group ends at its number of works, and at its time', async (t) => {
  const many = createScript()
  const counted = createGroup(many).group
  await Promise.all(Array.from({ length: 600 }, () => counted.write(say('x'))))
  const works = many.calls.join(' ').split('commit').slice(0, -1)
  t.strictSame(
    works.map((group) => group.split('x').length - 1),
    [256, 256, 88],
  )
  let now = 0
  const slow = createScript()
  const { group } = createGroup(slow, () => {
    now += 5
    return now
  })
  const told: string[] = []
  await Promise.all(['a', 'b', 'c'].map((word) => group.write(say(word)).then(() => told.push(word))))
  t.equal(slow.calls.join(' '), 'begin a save b keep commit begin c commit', 'each look at the clock takes 5 of 8 ms')
  t.strictSame(told, ['a', 'b', 'c'])
})

t.test('close waits for those that wait', async (t) => {
  const script = createScript()
  const { group } = createGroup(script)
  const write = group.write(say('a'))
  await group.close()
  t.equal(script.calls.join(' '), 'begin a commit')
  await write
  await t.rejects(group.write(say('b')), StoreFailing)
})
