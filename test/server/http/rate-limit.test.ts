// What the answers to submits say of quotas, in their headers: the same facts as the refusal, whether it refuses or not.
import t from 'tap'
import { pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'

const quota = (rig: PondRig, body: object) => rig.call('setQuota', { params: { project: 'default' }, body })
const send = (rig: PondRig, more: Asking = {}) => rig.call('submitJob', { body: { command: ['true'] }, ...more })

t.test('a project without quotas is told nothing', async (t) => {
  const rig = await createPondRig(t)
  const { headers } = await send(rig)
  t.notOk('ratelimit' in headers || 'ratelimit-policy' in headers)
  await quota(rig, { running: 1, priority_most: 3 })
  t.notOk('ratelimit' in (await send(rig)).headers, 'nor one whose quotas refuse no submit')
})

t.test('each policy, and what is left of it, on every answer', async (t) => {
  const rig = await createPondRig(t)
  await quota(rig, { queued: 10, submits_per_minute: 60, cpu_seconds_per_day: 3600, output_bytes_per_day: 5_000_000 })
  const policy = [
    '"queued";q=10, "submits";q=60;w=60, "cpu-seconds";q=3600;w=86400, "output-bytes";q=5000000;w=86400',
  ].join()
  const day = 'cpu-seconds";r=3600;t=86400, "output-bytes";r=5000000;t=86400'
  const taken = await send(rig, { body: { jobs: Array.from({ length: 4 }, () => ({ command: ['true'] })) } })
  t.match(taken.headers, {
    'ratelimit-policy': policy,
    ratelimit: `"queued";r=6, "submits";r=56;t=4, "${day}`,
    'retry-after': undefined,
  })
  const bad = await send(rig, { body: { command: [] } })
  t.match(bad, { status: 422, headers: { 'ratelimit-policy': policy, ratelimit: taken.headers.ratelimit } })
  t.notOk('ratelimit' in (await rig.call('listJobs', {})).headers, 'only on answers to submits')
})

t.test(
  'a refusal says when, in whole seconds, the same as its details; an earlier call would be refused',
  async (t) => {
    const rig = await createPondRig(t)
    await quota(rig, { submits_per_minute: 40 })
    await send(rig, { body: { jobs: Array.from({ length: 40 }, () => ({ command: ['true'] })) } })
    const { status, code, headers, error } = await send(rig)
    t.strictSame([status, code], [429, 'quota_exceeded'])
    t.match(headers, { 'retry-after': '2', ratelimit: '"submits";r=0;t=60' })
    t.equal(error?.details.retry_after_ms, 1500)
    await rig.clock.advance(1499)
    t.equal((await send(rig)).status, 429)
    await rig.clock.advance(1)
    t.equal((await send(rig)).status, 201)
  },
)

t.test('who waits as long as it is told to gets all his jobs in, once each', async (t) => {
  const rig = await createPondRig(t)
  await quota(rig, { queued: 3, submits_per_minute: 12 })
  const box = await pairMachine(rig, { slots: 4 })
  const insist = async (key: string): Promise<void> => {
    for (;;) {
      const { status, headers } = await send(rig, { headers: { 'idempotency-key': key } })
      if (status === 201) return
      await new Promise<void>((resolve) => void rig.clock.after(Number(headers['retry-after']) * 1000, resolve))
    }
  }
  const all = Promise.all(Array.from({ length: 30 }, (_, index) => insist(`key-${index}`)))
  let done = false
  void all.then(() => {
    done = true
  })
  while (!done) {
    await box.end(await box.take(4))
    await rig.clock.advance(1000)
  }
  for (let more = await box.take(4); more.length > 0; more = await box.take(4)) await box.end(more)
  const { items } = (await rig.call('listJobs', { query: { limit: '100' } })).reply
  t.equal(items.length, 30)
  t.ok(items.every(({ state }) => state === 'succeeded'))
})

t.test('a key of one project learns nothing of another', async (t) => {
  const rig = await createPondRig(t)
  await quota(rig, { queued: 1 })
  await rig.call('createProject', { body: { name: 'other' } })
  const { token } = (await rig.call('createKey', { body: { project: 'other' } })).reply
  const own = await send(rig, { token })
  t.notOk('ratelimit' in own.headers)
  const foreign = await send(rig, { token, headers: { 'pond-project': 'default' } })
  t.match(foreign, { code: 'forbidden', headers: { ratelimit: undefined } })
  await submit(rig)
  t.equal((await send(rig, { token })).status, 201)
})
