// A job at the edges of its limits.
import t, { type Test } from 'tap'
import { causes, causeTable, finalStates, isFinal, jobSpec, jobStates } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { fullJob } from './sample.ts'

const command = ['true']

function takes(t: Test, fields: object, says: string) {
  t.ok(jobSpec.safeParse({ command, ...fields }).success, `takes ${says}`)
}

/** The refusal must point at `path`. */
function refuses(t: Test, fields: object, { path, says }: { readonly path: string; readonly says: string }) {
  const result = jobSpec.safeParse({ command, ...fields })
  t.notOk(result.success, `refuses ${says}`)
  t.ok(
    result.error?.issues.some((issue) => issue.path.join('.') === path),
    `${says}: names ${path}`,
  )
}

t.test('a command is words', async (t) => {
  refuses(t, { command: undefined }, { path: 'command', says: 'no command' })
  refuses(t, { command: [] }, { path: 'command.0', says: 'an empty one' })
  refuses(t, { command: 'true' }, { path: 'command', says: 'a line for a shell' })
  refuses(t, { command: [''] }, { path: 'command.0', says: 'a program without a name' })
  takes(t, { command: ['x', ''] }, 'an empty argument')
  refuses(t, { command: ['x\0'] }, { path: 'command.0', says: 'NUL in the program' })
  refuses(t, { command: ['x', 'a\0b'] }, { path: 'command.1', says: 'NUL in an argument' })
  takes(t, { command: Array(limit.commandWords).fill('x') }, 'as many words as there may be')
  refuses(t, { command: Array(limit.commandWords + 1).fill('x') }, { path: 'command', says: 'one word more' })
  takes(t, { command: ['x', 'ä'.repeat(limit.wordBytes / 2)] }, 'a word of the most bytes')
  refuses(
    t,
    { command: ['x', `${'ä'.repeat(limit.wordBytes / 2)}a`] },
    { path: 'command.1', says: 'a byte more: bytes, not characters' },
  )
})

t.test('env and input', async (t) => {
  takes(t, { env: { PATH: '/bin', _x1: '' } }, 'names of variables')
  refuses(t, { env: { '1A': '' } }, { path: 'env.1A', says: 'a digit first' })
  refuses(t, { env: { 'A=B': '' } }, { path: 'env.A=B', says: 'an equals sign' })
  refuses(t, { env: { POND_JOB_ID: '' } }, { path: 'env.POND_JOB_ID', says: 'a name that pond sets' })
  refuses(t, { env: { A: 'a\0' } }, { path: 'env.A', says: 'NUL in a value' })
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`V${index}`, '']))
  takes(t, { env: many(limit.envEntries) }, 'the most variables')
  refuses(t, { env: many(limit.envEntries + 1) }, { path: 'env', says: 'one more' })
  takes(t, { input: `${'ä'.repeat(limit.inputBytes / 2)}` }, 'the longest input')
  takes(t, { input: 'a\0b' }, 'NUL on stdin')
  refuses(t, { input: 'a'.repeat(limit.inputBytes + 1) }, { path: 'input', says: 'a byte more' })
})

t.test('labels', async (t) => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, '']))
  takes(t, { labels: many(limit.labels) }, 'the most labels')
  refuses(t, { labels: many(limit.labels + 1) }, { path: 'labels', says: 'one more' })
  takes(t, { labels: { ['k'.repeat(limit.labelKeyChars)]: 'v'.repeat(limit.labelValueChars) } }, 'the longest')
  refuses(
    t,
    { labels: { ['k'.repeat(limit.labelKeyChars + 1)]: '' } },
    { path: `labels.${'k'.repeat(64)}`, says: 'a longer key' },
  )
  refuses(t, { labels: { k: 'v'.repeat(limit.labelValueChars + 1) } }, { path: 'labels.k', says: 'a longer value' })
  refuses(t, { labels: { K: '' } }, { path: 'labels.K', says: 'capitals' })
  refuses(t, { labels: { k: 'a\0' } }, { path: 'labels.k', says: 'NUL' })
})

t.test('a label is required as a value or by a condition', async (t) => {
  const asked = (need: unknown) => ({ requires: { labels: { tier: need } } })
  const good = [
    ...['', 'a', { op: 'eq', value: 'a' }, { op: 'in', value: ['a', ''] }, { op: 'exists' }],
    ...[
      { op: 'gte', value: -1.5 },
      { op: 'lte', value: 0 },
      { op: 'between', value: [-1, 2.5] },
      { op: 'between', value: [1, 1] },
    ],
  ]
  for (const need of good) takes(t, asked(need), JSON.stringify(need))
  const wrong = [
    ...[7, null, [], ['a'], {}, { op: 'exists', value: 'a' }, { op: 'gt', value: 1 }, { op: 'in', value: [] }],
    ...[{ op: 'gte', value: '1' }, { op: 'gte', value: Number.NaN }, { op: 'lte' }],
    ...[[], [1], [2, 1], [1, 2, 3], ['1', '2'], 1].map((value) => ({ op: 'between', value })),
  ]
  for (const need of wrong) t.notOk(jobSpec.safeParse({ command: ['x'], ...asked(need) }).success, JSON.stringify(need))
})

t.test('numbers stay between their limits', async (t) => {
  const edges: readonly (readonly [string, (value: number) => object, number, number])[] = [
    ['priority', (priority) => ({ priority }), 0, 9],
    ['ttl_ms', (ttl_ms) => ({ ttl_ms }), 1, limit.ttlMostMs],
    ['timeout_ms', (timeout_ms) => ({ timeout_ms }), 1, limit.timeoutMostMs],
    ['hold_ms', (hold_ms) => ({ hold_ms }), 1, limit.holdMostMs],
    ['retry.attempts', (attempts) => ({ retry: { attempts } }), 1, limit.attemptsMost],
    ['retry.backoff_ms', (backoff_ms) => ({ retry: { backoff_ms } }), 0, limit.backoffMostMs],
    ['limits.stream_bytes', (stream_bytes) => ({ limits: { stream_bytes } }), 1, limit.streamBytesMost],
    ['limits.artifact_bytes', (artifact_bytes) => ({ limits: { artifact_bytes } }), 1, limit.artifactBytesMost],
  ]
  for (const [path, put, least, most] of edges) {
    takes(t, put(least), `${path} ${least}`)
    takes(t, put(most), `${path} ${most}`)
    refuses(t, put(least - 1), { path, says: `${path} ${least - 1}` })
    refuses(t, put(most + 1), { path, says: `${path} ${most + 1}` })
    refuses(t, put(least + 0.5), { path, says: `${path} ${least + 0.5}` })
  }
})

t.test('running twice needs a word that it does no harm', async (t) => {
  refuses(t, { on_lost: 'rerun' }, { path: 'on_lost', says: 'rerun' })
  refuses(t, { on_lost: 'rerun', idempotent: false }, { path: 'on_lost', says: 'rerun of what is not idempotent' })
  takes(t, { on_lost: 'rerun', idempotent: true }, 'rerun of what is')
  refuses(t, { retry: { on: ['exit', 'worker_lost'] } }, { path: 'retry.on', says: 'a retry of what was lost' })
  takes(t, { retry: { on: ['worker_lost'] }, idempotent: true }, 'a retry of what may be')
  refuses(t, { on_lost: 'hold' }, { path: 'hold_ms', says: 'a hold without its time' })
  takes(t, { on_lost: 'hold', hold_ms: 1 }, 'a hold with it')
})

t.test('the full job has every field, and max_parallel is for arrays', async (t) => {
  t.ok(jobSpec.safeParse(fullJob).success)
  refuses(t, { max_parallel: 2 }, { path: 'max_parallel', says: 'of what is no array' })
  takes(t, { max_parallel: 2, count: 1 }, 'of an array')
  refuses(t, { count: 0 }, { path: 'count', says: 'none' })
  refuses(t, { count: 100_001 }, { path: 'count', says: 'too many' })
  t.strictSame(Object.keys(fullJob).sort(), Object.keys(jobSpec.shape).sort(), 'the sample has every field')
})

t.test('states and causes are closed lists', async (t) => {
  t.strictSame(jobStates.filter(isFinal), [...finalStates])
  t.strictSame(causes, Object.keys(causeTable))
  for (const [cause, says] of Object.entries(causeTable)) t.ok(says.length > 10, cause)
})
