// Calls that meet the end of their token: said again with the next one, later where there is none yet, refused where there will be none.
import t from 'tap'
import type { Answer, Client } from '../../src/client/contract.ts'
import { createLastingClient, type Mended } from '../../src/orchestrator/lasting-client.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

function setUp(mend: (tokens: { now: string }) => Promise<Mended>) {
  const clock = createVirtualClock()
  const token = { now: 'old' }
  const said: string[] = []
  const once = async () => {
    said.push(token.now)
    const answer =
      token.now === 'old'
        ? { ok: false, error: refusal('unauthenticated') }
        : { ok: true, status: 200, reply: {}, headers: {} }
    return answer as Answer<'whoami'>
  }
  const inner = { call: once, persist: once, open: once, skewMs: () => 0 } as unknown as Client
  const client = createLastingClient(inner, { clock, proof: () => token.now, mend: () => mend(token) })
  return { clock, client, said }
}

const replace = async (token: { now: string }): Promise<Mended> => {
  token.now = 'new'
  return 'replaced'
}

t.test('with a new token the call is said once more; a call and one that persists alike', async (t) => {
  for (const way of ['call', 'persist'] as const) {
    const { client, said } = setUp(replace)
    t.ok((await client[way]('whoami')).ok)
    t.strictSame(said, ['old', 'new'])
  }
})

t.test('a refusal that stands is the answer', async (t) => {
  const { client, said } = setUp(async () => 'refused')
  t.match(await client.persist('whoami'), { ok: false, error: { code: 'unauthenticated' } })
  t.strictSame(said, ['old'])
})

t.test(
  'while there is no new token a call is answered as later within its deadline, and one that persists goes on',
  async (t) => {
    let give = () => {}
    const given = new Promise<void>((resolve) => {
      give = resolve
    })
    const { clock, client } = setUp((token) => given.then(() => replace(token)))
    const answers: Answer<'whoami'>[] = []
    void client.call('whoami', { deadlineMs: 5000 }).then((it) => answers.push(it))
    void client.persist('whoami').then((it) => answers.push(it))
    await clock.advance(4000)
    t.equal(answers.length, 0)
    await clock.advance(120_000)
    t.match(answers, [{ ok: false, error: { retry: 'later' } }])
    t.equal(answers.length, 1)
    give()
    await clock.settle()
    t.ok(answers[1]?.ok)
    t.equal(clock.pending(), 0, 'no timer is left')
  },
)

t.test('a disk that takes no token is asked again, not in a storm', async (t) => {
  let tries = 0
  const { clock, client } = setUp(async (token) => (++tries < 4 ? 'later' : replace(token)))
  let answer: Answer<'whoami'> | undefined
  void client.persist('whoami').then((it) => {
    answer = it
  })
  await clock.advance(1000)
  t.ok(tries < 3, `${tries} tries in a second`)
  await clock.advance(10 * 60_000)
  t.ok(answer?.ok)
})
