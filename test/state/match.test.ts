// Which worker may get which job, and why not.
import t from 'tap'
import type { JobSpec } from '../../src/protocol/job.ts'
import {
  isConfidential,
  isPassedOver,
  type Lack,
  lackOf,
  type Means,
  mayKeepSecrets,
  type Needs,
  needsOf,
} from '../../src/state/match.ts'

const now = 1_000_000

const means: Means = {
  labels: { zone: 'a', tier: '7.5', name: 'x1' },
  resources: {
    slots: 2,
    cpus: 4,
    memory_bytes: 1000,
    disk_bytes: 5000,
    gpus: [
      { uuid: 'GPU-a', model: 'NVIDIA A100', vram_bytes: 80 },
      { uuid: 'GPU-b', model: 'NVIDIA T4', vram_bytes: 16 },
      { uuid: 'GPU-c' },
    ],
  },
  os: 'linux',
  arch: 'x64',
  sandbox: 'uid',
}

t.test('what a worker has is enough', async (t) => {
  for (const needs of [
    {},
    { secrets: true },
    { os: 'linux', arch: 'x64', sandbox: 'uid' },
    { labels: { zone: 'a' } },
    { labels: { zone: { op: 'in', value: ['b', 'a'] }, tier: { op: 'gte', value: 7.5 }, name: { op: 'exists' } } },
    { labels: { tier: { op: 'lte', value: 8 }, zone: { op: 'eq', value: 'a' } } },
    { labels: { tier: { op: 'between', value: [7.5, 7.5] } } },
    { labels: { tier: { op: 'between', value: [-1, 8] } } },
    { cpus: 4, memory_bytes: 1000, disk_bytes: 5000 },
    { gpus: { count: 3 } },
    { gpus: { count: 1, model: 'a100', min_vram_bytes: 80 } },
    { sandbox: 'uid', 'sandbox.backend': 'uid', 'sandbox.network': 'host' },
  ] satisfies Needs[]) {
    t.equal(lackOf(needs, means), undefined, JSON.stringify(needs))
  }
})

t.test('a number lies between two, ends included', async (t) => {
  const spans: readonly [number, number][] = [
    [8, 9],
    [1, 7],
  ]
  for (const value of spans) {
    const tier = { op: 'between' as const, value }
    t.strictSame(lackOf({ labels: { tier } }, means), { requirement: 'labels.tier', wants: tier, has: '7.5' })
  }
})

t.test('the first that it lacks is told, with what is wanted and what is there', async (t) => {
  const inherited = JSON.parse('{"constructor": {"op": "exists"}}')
  const cases: readonly (readonly [Needs, Lack])[] = [
    [
      { os: 'darwin', arch: 'arm64' },
      { requirement: 'os', wants: 'darwin', has: 'linux' },
    ],
    [
      { arch: 'arm64', cpus: 99 },
      { requirement: 'arch', wants: 'arm64', has: 'x64' },
    ],
    [{ sandbox: 'bubblewrap' }, { requirement: 'sandbox', wants: 'bubblewrap', has: 'uid' }],
    [{ sandbox: 'none' }, { requirement: 'sandbox', wants: 'none', has: 'uid' }],
    [{ 'sandbox.backend': 'bubblewrap' }, { requirement: 'sandbox.backend', wants: 'bubblewrap', has: 'uid' }],
    [{ 'sandbox.backend': true }, { requirement: 'sandbox.backend', wants: true, has: 'uid' }],
    [{ 'sandbox.network': 'none' }, { requirement: 'sandbox.network', wants: 'none', has: ['host'] }],
    [
      { labels: { zone: 'b' }, cpus: 99 },
      { requirement: 'labels.zone', wants: 'b', has: 'a' },
    ],
    [{ labels: { site: 'lab' } }, { requirement: 'labels.site', wants: 'lab' }],
    [{ labels: inherited }, { requirement: 'labels.constructor', wants: { op: 'exists' } }],
    [
      { labels: { name: { op: 'gte', value: 0 } } },
      { requirement: 'labels.name', wants: { op: 'gte', value: 0 }, has: 'x1' },
    ],
    [
      { labels: { zone: { op: 'between', value: [0, 9] } } },
      { requirement: 'labels.zone', wants: { op: 'between', value: [0, 9] }, has: 'a' },
    ],
    [
      { labels: { tier: { op: 'lte', value: 7 } } },
      { requirement: 'labels.tier', wants: { op: 'lte', value: 7 }, has: '7.5' },
    ],
    [{ cpus: 4.5 }, { requirement: 'cpus', wants: 4.5, has: 4 }],
    [{ memory_bytes: 1001 }, { requirement: 'memory_bytes', wants: 1001, has: 1000 }],
    [{ disk_bytes: 5001 }, { requirement: 'disk_bytes', wants: 5001, has: 5000 }],
    [{ gpus: { count: 4 } }, { requirement: 'gpus.count', wants: 4, has: 3 }],
    [
      { gpus: { count: 1, model: 'H100' } },
      { requirement: 'gpus.model', wants: 'H100', has: ['NVIDIA A100', 'NVIDIA T4', undefined] },
    ],
    [
      { gpus: { count: 2, min_vram_bytes: 17 } },
      { requirement: 'gpus.min_vram_bytes', wants: 17, has: [80, 16, undefined] },
    ],
  ]
  for (const [needs, lack] of cases) t.strictSame(lackOf(needs, means), lack)
  const bare: Means = { labels: {}, resources: { slots: 1 } }
  t.strictSame(lackOf({ os: 'linux' }, bare), { requirement: 'os', wants: 'linux' })
  t.strictSame(lackOf({ cpus: 0.001 }, bare), { requirement: 'cpus', wants: 0.001 })
  t.strictSame(lackOf({ memory_bytes: 1 }, bare), { requirement: 'memory_bytes', wants: 1 })
  t.strictSame(lackOf({ disk_bytes: 1 }, bare), { requirement: 'disk_bytes', wants: 1 })
  t.strictSame(lackOf({ gpus: { count: 1 } }, bare), { requirement: 'gpus.count', wants: 1, has: 0 })
  t.strictSame(lackOf({ 'sandbox.backend': 'none' }, bare), { requirement: 'sandbox.backend', wants: 'none' })
  const open: Means = { ...bare, sandbox: 'none' }
  t.equal(
    lackOf({ sandbox: 'none', 'sandbox.backend': 'none' }, open),
    undefined,
    'who asks for no walls gets a worker without',
  )
  t.strictSame(lackOf({ sandbox: 'uid' }, open), { requirement: 'sandbox', wants: 'uid', has: 'none' })
  t.strictSame(lackOf({ 'sandbox.network': 'none' }, bare)?.has, ['host'])
  t.equal(lackOf({ 'sandbox.network': 'none' }, { ...bare, sandbox: 'bubblewrap' }), undefined)
  t.strictSame(lackOf({ secrets: true }, bare), { requirement: 'secrets', wants: 'a sandbox', has: 'none' })
})

t.test('needs that mean the same are the same text', async (t) => {
  const needs = (spec: Partial<JobSpec>) => needsOf({ command: ['true'], ...spec })
  t.strictSame(needs({}), {})
  t.strictSame(needs({ requires: {} }), {})
  t.strictSame(needs({ requires: { labels: {} }, bundle: 'b' }), { secrets: true })
  t.strictSame(
    needs({ sandbox: { network: 'host', seccomp: 'strict' } }),
    {},
    'what all have, and what no report tells of',
  )
  t.strictSame(needs({ sandbox: { network: 'none', backend: 'uid' } }), {
    'sandbox.backend': 'uid',
    'sandbox.network': 'none',
  })
  const spelled = needs({ requires: { labels: { zone: { op: 'eq', value: 'a' } }, cpus: 1 } })
  t.strictSame(spelled, { cpus: 1, labels: { zone: 'a' } })
})

t.test('a worker is passed over until the time is there', async (t) => {
  t.equal(isPassedOver({}, 'w1', now), false)
  t.equal(isPassedOver({ w1: now + 1 }, 'w1', now), true)
  t.equal(isPassedOver({ w1: now }, 'w1', now), false)
  t.equal(isPassedOver({ w1: now + 1 }, 'w2', now), false)
})

t.test('confidential is what brings a secret, or puts one out', async (t) => {
  t.equal(isConfidential({}), false)
  for (const job of [{ credential: 'c' }, { bundle: 'b' }, { recipients: ['r'] }]) t.equal(isConfidential(job), true)
})

t.test('secrets go where other jobs cannot read them, or where the owner says so', async (t) => {
  t.equal(mayKeepSecrets(), false, 'nothing was said yet')
  t.equal(mayKeepSecrets({}), false)
  t.equal(mayKeepSecrets({ sandbox: 'none', allow_unsandboxed: false }), false)
  t.equal(mayKeepSecrets({ sandbox: 'none', allow_unsandboxed: true }), true)
  for (const sandbox of ['uid', 'bubblewrap'] as const) t.equal(mayKeepSecrets({ sandbox }), true)
})
