// Words: many in one call, each with its own outcome, and one bad word never silences its neighbours.
import t from 'tap'
import { attestWords } from '../../src/orchestrator/statement.ts'
import { createWords, type WordsParts } from '../../src/orchestrator/words.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import type { BatchWord } from '../../src/protocol/word.ts'
import { workerSigner } from '../harness/claim-facts.ts'
import { createFakePond, refusal } from '../harness/fake-pond-client.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

function setUp(refill = false) {
  const clock = createVirtualClock()
  const pond = createFakePond({ clock, random: createSeededRandom(3) })
  const abort = new AbortController()
  const brought: Intent[] = []
  const take = (intents: readonly Intent[]) => void brought.push(...intents)
  let misses = 0
  let sleeps = 0
  const missed = () => void misses++
  const attested: string[][] = []
  const attest: WordsParts['attest'] = (final) => {
    attested.push(final.map(({ word }) => word.claim_id))
    return attestWords(final, { signerOf: () => workerSigner, version: '0' })
  }
  const words = createWords({
    client: pond.client,
    signal: abort.signal,
    refill: () => refill,
    take,
    missed,
    attest,
    wakes: () => sleeps,
  })
  const word = (state: BatchWord['state'] = 'running', more: Partial<BatchWord> = {}): BatchWord => {
    const { claim_id, job_id, claim_token } = pond.give()
    return { claim_id, job_id, claim_token, state, ...more }
  }
  const calls = (name: string) => pond.calls.filter((it) => it === name).length
  return { clock, pond, abort, words, word, calls, brought, attested, misses: () => misses, sleep: () => void sleeps++ }
}

t.test('words of one tick go together, those that come meanwhile go in the next call', async (t) => {
  const { clock, words, word, calls } = setUp()
  const first = [1, 2, 3].map(() => words.say(word()))
  await clock.settle()
  t.equal(calls('sendWords'), 1)
  t.same(
    await Promise.all(first),
    [1, 2, 3].map(() => ({ outcome: 'accepted' })),
  )
})

t.test('at most 256 words and one body of them in a call', async (t) => {
  const { clock, pond, words, word } = setUp()
  const sizes: number[] = []
  pond.fault = (_, call) => void sizes.push((call.body as unknown as { words: [] }).words.length)
  for (let count = 0; count < 300; count++) void words.say(word())
  const result = JSON.stringify('"'.repeat(400_000))
  for (let count = 0; count < 4; count++) void words.say(word('final', { cause: 'exit', result }))
  await clock.settle()
  t.equal(sizes[0], 256)
  t.equal(
    sizes.reduce((sum, size) => sum + size),
    304,
  )
  t.ok(sizes.slice(1).every((size) => size <= 46))
})

t.test('one word that pond cannot take does not silence the others', async (t) => {
  const { clock, pond, words, word } = setUp()
  const bad = word()
  pond.fault = (name, call) => {
    const body = call.body as unknown as { words?: BatchWord[]; claim_id?: string }
    const ids = body.words?.map((it) => it.claim_id) ?? [body.claim_id]
    return name !== 'poll' && ids.includes(bad.claim_id) ? refusal('invalid_field', { field: 'rc' }) : undefined
  }
  const said = Promise.all([words.say(word()), words.say(bad), words.say(word())])
  await clock.settle()
  t.match(await said, [
    { outcome: 'accepted' },
    { outcome: 'refused', error: { code: 'invalid_field' } },
    { outcome: 'accepted' },
  ])
})

t.test('refusals of a single word become outcomes', async (t) => {
  const { clock, pond, words, word } = setUp()
  const cases = [
    [refusal('stale', { kept: true }), { outcome: 'stale', kept: true }],
    [refusal('claim_ended'), { outcome: 'stale' }],
    [refusal('conflict'), { outcome: 'conflict' }],
    [refusal('streams_incomplete', { streams: {} }), { outcome: 'refused', error: { code: 'streams_incomplete' } }],
  ] as const
  for (const [error, outcome] of cases) {
    pond.fault = () => error
    const said = words.say(word())
    await clock.settle()
    t.match(await said, outcome)
  }
})

t.test('an outage is waited for; the end of swarm leaves the word unsaid', async (t) => {
  const { clock, pond, words, word, abort } = setUp()
  let away = true
  pond.fault = () => (away ? refusal('undecodable') : undefined)
  const first = words.say(word())
  await clock.advance(3_600_000)
  away = false
  await clock.advance(60_000)
  t.match(await first, { outcome: 'accepted' })
  away = true
  const second = words.say(word())
  await clock.advance(5000)
  abort.abort()
  t.same(await second, { outcome: 'unsaid' })
})

t.test('a reply brings jobs where that was asked for, each once, before what was said is judged', async (t) => {
  for (const refill of [true, false]) {
    const { clock, pond, words, word, brought, misses } = setUp(refill)
    const intent = pond.giveWithWords()
    pond.fault = () => (pond.calls.length === 1 ? 'lost' : undefined)
    const said = words.say(word('final', { cause: 'exit', rc: 0 })).then(() => brought.length)
    await clock.advance(60_000)
    t.equal(await said, 0, 'a lost reply brings nothing: the next poll does')
    t.equal(misses(), refill ? 1 : 0)
    pond.fault = () => undefined
    if (refill) pond.withWords.push(intent)
    const heard = words.say(word('final', { cause: 'exit', rc: 0 })).then(() => brought.length)
    await clock.settle()
    t.equal(await heard, refill ? 1 : 0)
  }
})

t.test('what the answer to words of before a sleep brings is not taken; the next poll brings it', async (t) => {
  const { clock, pond, words, word, brought, misses, sleep } = setUp(true)
  pond.giveWithWords()
  let arrive = () => {}
  pond.deliver = () =>
    new Promise((resolve) => {
      arrive = resolve
    })
  const said = words.say(word())
  await clock.settle()
  sleep()
  arrive()
  t.match(await said, { outcome: 'accepted' }, 'the word itself was heard')
  t.strictSame(brought, [])
  t.equal(misses(), 1)
})
