// Bad input gets a 4xx with code, field, help and request id, and nothing of it is stored.
import t from 'tap'
import { type ErrorCode, errorTable } from '../../../src/protocol/error.ts'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { RouteName } from '../../../src/protocol/route.ts'
import { createCode, finalWord, type Machine, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'

interface World {
  readonly rig: PondRig
  readonly box: Machine
  readonly intent: Intent
  readonly ended: Intent
}

type Row = readonly [
  says: string,
  name: RouteName,
  asking: Asking | ((world: World) => Asking),
  code: ErrorCode,
  field?: string,
]

const job = (more: object) => ({ body: { command: ['true'], ...more } })
const text = (body: string) => ({ body: Buffer.from(body) })
const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
const noJob = `job_${'0'.repeat(26)}`

const byClaim = (world: World, intent: Intent, more: Asking): Asking => ({
  token: world.box.token,
  params: { id: intent.job_id },
  headers: { 'x-claim-token': intent.claim_token },
  ...more,
})
const word = (body: object) => (world: World) =>
  byClaim(world, world.intent, { body: { claim_id: world.intent.claim_id, ...body } })
const chunkQuery = (intent: Intent, more: object = {}) => ({
  claim: intent.claim_id,
  stream: 'stdout',
  offset: '0',
  at: '1',
  order: '1',
  ...more,
})
const chunk = (more: object, bytes = Buffer.from('x')) => {
  return (world: World) => byClaim(world, world.intent, { query: chunkQuery(world.intent, more), body: bytes })
}
const telemetry = (event: string) => (world: World) =>
  byClaim(world, world.intent, text(`{"claim_id":"${world.intent.claim_id}","events":[${event}]}`))
const poll = (more: object) => (world: World) => ({
  token: world.box.token,
  body: {
    protocol: 2,
    session: 'session-1',
    seq: 99,
    claim_key: 'claim-key',
    wait_ms: 0,
    workers: [{ worker_id: world.box.workerId, free: { slots: 0 } }],
    have: [],
    ...more,
  },
})
const stream = (more: Asking) => (world: World) => ({ params: { id: world.intent.job_id, name: 'stdout' }, ...more })

const rows: readonly Row[] = [
  ['an unknown field', 'submitJob', job({ comand: ['x'] }), 'unknown_field', 'comand'],
  ['an unknown field inside', 'submitJob', job({ retry: { tries: 1 } }), 'unknown_field', 'retry.tries'],
  [
    'an unknown field in a batch',
    'submitJob',
    { body: { jobs: [{ command: ['a'], x: 1 }] } },
    'unknown_field',
    'jobs.0.x',
  ],
  ['a batch and a job in one', 'submitJob', job({ jobs: [] }), 'invalid_field', 'jobs'],
  ['no command', 'submitJob', { body: {} }, 'invalid_field', 'command'],
  ['no body', 'submitJob', {}, 'invalid_field', 'command'],
  ['an empty command', 'submitJob', { body: { command: [] } }, 'invalid_field', 'command'],
  ['an empty first word', 'submitJob', { body: { command: [''] } }, 'invalid_field', 'command.0'],
  ['a command of one string', 'submitJob', { body: { command: 'ls' } }, 'invalid_field', 'command'],
  ['NUL in a command', 'submitJob', { body: { command: ['ls', 'a\0b'] } }, 'invalid_field', 'command.1'],
  ['NUL in an environment', 'submitJob', job({ env: { A: '\0' } }), 'invalid_field', 'env.A'],
  [
    'an environment that pond sets',
    'submitJob',
    job({ env: { POND_JOB_ID: 'x' } }),
    'invalid_field',
    'env.POND_JOB_ID',
  ],
  ['half a surrogate pair', 'submitJob', text('{"command":["\\ud800"]}'), 'invalid_field', 'command.0'],
  [
    'half a pair in a key',
    'submitJob',
    text('{"command":["a"],"labels":{"a":"\\udfff"}}'),
    'invalid_field',
    'labels.a',
  ],
  ['a wrong type', 'submitJob', job({ priority: '5' }), 'invalid_field', 'priority'],
  ['a number out of range', 'submitJob', job({ priority: 10 }), 'invalid_field', 'priority'],
  ['a number beyond every float', 'submitJob', text('{"command":["a"],"ttl_ms":1e400}'), 'invalid_field', 'ttl_ms'],
  ['a number that is no integer', 'submitJob', job({ ttl_ms: 1.5 }), 'invalid_field', 'ttl_ms'],
  ['null', 'submitJob', job({ env: null }), 'invalid_field', 'env'],
  ['a bare null', 'submitJob', text('null'), 'invalid_field', 'body'],
  ['a list', 'submitJob', text('[]'), 'invalid_field', 'body'],
  ['no JSON', 'submitJob', text('command=ls'), 'malformed'],
  ['JSON cut short', 'submitJob', text('{"command":["ls"'), 'malformed'],
  ['two JSON texts', 'submitJob', text('{"command":["ls"]}{}'), 'malformed'],
  ['no UTF-8', 'submitJob', { body: Buffer.from('{"command":["\xff"]}', 'latin1') }, 'malformed'],
  ['a deep list', 'submitJob', text(deep(1_000_000)), 'invalid_field', 'body'],
  [
    'a deep field',
    'submitJob',
    text(`{"command":["a"],"sandbox":{"a":${deep(1_000_000)}}}`),
    'invalid_field',
    'sandbox.a',
  ],
  ['10 MB', 'submitJob', text(JSON.stringify({ command: ['x'.repeat(10_000_000)] })), 'body_too_large'],
  ['a long word', 'submitJob', job({ env: { A: 'x'.repeat(limit.wordBytes + 1) } }), 'invalid_field', 'env.A'],
  ['__proto__', 'submitJob', text('{"command":["a"],"__proto__":{"env":{}}}'), 'unknown_field', '__proto__'],
  ['constructor', 'submitJob', job({ constructor: 1 }), 'unknown_field', 'constructor'],
  [
    '__proto__ in an environment',
    'submitJob',
    text('{"command":["a"],"env":{"__proto__":"x"}}'),
    'unknown_field',
    'env.__proto__',
  ],
  [
    '__proto__ in labels',
    'submitJob',
    text('{"command":["a"],"labels":{"__proto__":"x"}}'),
    'unknown_field',
    'labels.__proto__',
  ],
  ['a part of no array', 'submitJob', job({ max_parallel: 2 }), 'invalid_field', 'max_parallel'],
  ['rerun, not idempotent', 'submitJob', job({ on_lost: 'rerun' }), 'invalid_field', 'on_lost'],
  [
    'one bad job of a batch',
    'submitJob',
    { body: { jobs: [{ command: ['a'] }, { command: [1] }] } },
    'invalid_field',
    'jobs.1.command.0',
  ],
  [
    'a bad Idempotency-Key',
    'submitJob',
    { ...job({}), headers: { 'idempotency-key': 'a b' } },
    'invalid_field',
    'idempotency-key',
  ],
  ['an unknown project', 'submitJob', { ...job({}), headers: { 'pond-project': 'nowhere' } }, 'not_found', 'project'],

  ['an unknown query', 'listJobs', { query: { page: '2' } }, 'unknown_field', 'page'],
  ['__proto__ in a query', 'listJobs', { query: JSON.parse('{"__proto__":"1"}') }, 'unknown_field', '__proto__'],
  ['a query said twice', 'listJobs', { query: { limit: ['1', '2'] } }, 'invalid_field', 'limit'],
  ['a limit that is no number', 'listJobs', { query: { limit: '1e3' } }, 'invalid_field', 'limit'],
  ['a limit too high', 'listJobs', { query: { limit: '1001' } }, 'invalid_field', 'limit'],
  ['a label without a value', 'listJobs', { query: { label: 'x' } }, 'invalid_field', 'label'],
  ['an unknown state', 'listJobs', { query: { state: 'done' } }, 'invalid_field', 'state'],
  ['an unknown job', 'getJob', { params: { id: noJob } }, 'not_found'],
  ['an id that is none', 'getJob', { params: { id: '../etc' } }, 'not_found', 'id'],
  ['a wait too long', 'getJob', stream({ query: { wait_ms: '50001' } }), 'invalid_field', 'wait_ms'],
  [
    'a body where none belongs',
    'cancelJob',
    (world) => ({ params: { id: world.intent.job_id }, body: { now: 1 } }),
    'unknown_field',
    'now',
  ],
  ['an adoption of nothing', 'adoptAttempt', { params: { id: noJob }, body: {} }, 'invalid_field', 'attempt'],
  [
    'an adoption of attempt 0',
    'adoptAttempt',
    { params: { id: noJob }, body: { attempt: 0 } },
    'invalid_field',
    'attempt',
  ],
  ['an unknown stream', 'readStream', stream({ params: { id: noJob, name: 'stdlog' } }), 'not_found', 'name'],
  ['an unknown attempt', 'readStream', stream({ query: { attempt: '7' } }), 'not_found'],
  ['an offset too far', 'readStream', stream({ query: { offset: '9007199254740993' } }), 'invalid_field', 'offset'],
  ...['bytes=5-1', 'bytes=-', 'bytes=0-1,3-4', 'chars=0-1', 'bytes=a-b', 'bytes=99-', 'bytes=-0'].map(
    (range): Row => [`Range: ${range}`, 'readStream', stream({ headers: { range } }), 'invalid_field', 'range'],
  ),

  ['a poll of another protocol', 'poll', poll({ protocol: 99 }), 'upgrade_required'],
  ['a poll held too long', 'poll', poll({ wait_ms: limit.pollHoldMs + 1 }), 'invalid_field', 'wait_ms'],
  ['a poll with seq 0', 'poll', poll({ seq: 0 }), 'invalid_field', 'seq'],
  [
    'a poll with a bad claim',
    'poll',
    poll({ have: [{ claim_id: 'x', state: 'running' }] }),
    'invalid_field',
    'have.0.claim_id',
  ],
  ['a final word without a cause', 'sendWord', word({ state: 'final' }), 'invalid_field', 'cause'],
  ['an unknown cause', 'sendWord', word({ state: 'final', cause: 'bored' }), 'invalid_field', 'cause'],
  ['an rc beyond a byte', 'sendWord', word({ ...finalWord, rc: 256 }), 'invalid_field', 'rc'],
  ['a result that is no JSON', 'sendWord', word({ ...finalWord, result: '{' }), 'invalid_field', 'result'],
  ['an unknown stream in a word', 'sendWord', word({ ...finalWord, streams: { x: {} } }), 'invalid_field', 'streams.x'],
  [
    'an attestation that is none',
    'sendWord',
    word({ ...finalWord, attestation: {} }),
    'invalid_field',
    'attestation.payloadType',
  ],
  [
    'an artifact in no stream of its own',
    'sendWord',
    word({ ...finalWord, artifacts: [{ stream: 'stdout', path: 'a' }] }),
    'invalid_field',
    'artifacts.0.stream',
  ],
  ['an artifact beyond all streams', 'sendChunk', chunk({ stream: 'artifact/1020' }), 'invalid_field', 'stream'],
  ['a decline of what runs', 'sendWord', word({ state: 'declined' }), 'not_possible'],
  [
    'a word about an unknown job',
    'sendWord',
    (world) => ({ ...word(finalWord)(world), params: { id: noJob } }),
    'not_found',
  ],
  [
    'another result',
    'sendWord',
    (world) => byClaim(world, world.ended, { body: { claim_id: world.ended.claim_id, ...finalWord, rc: 1 } }),
    'conflict',
  ],
  [
    'running after the end',
    'sendWord',
    (world) => byClaim(world, world.ended, { body: { claim_id: world.ended.claim_id, state: 'running' } }),
    'stale',
  ],
  ['no words', 'sendWords', (world) => ({ token: world.box.token, body: { words: [] } }), 'invalid_field', 'words'],

  ['300 KiB', 'sendChunk', chunk({}, Buffer.alloc(300 * 1024)), 'body_too_large'],
  ['a gap', 'sendChunk', chunk({ offset: '99999999' }), 'chunk_gap'],
  ['a negative offset', 'sendChunk', chunk({ offset: '-1' }), 'invalid_field', 'offset'],
  ['an unknown stream of a chunk', 'sendChunk', chunk({ stream: '../x' }), 'invalid_field', 'stream'],
  [
    'an encoded chunk',
    'sendChunk',
    (world) => ({
      ...chunk({})(world),
      headers: { 'x-claim-token': world.intent.claim_token, 'content-encoding': 'gzip' },
    }),
    'unsupported',
    'content-encoding',
  ],
  [
    'a chunk after the end',
    'sendChunk',
    (world) => byClaim(world, world.ended, { query: chunkQuery(world.ended), body: Buffer.from('x') }),
    'claim_ended',
  ],

  [
    'a deep event',
    'sendTelemetry',
    telemetry(`{"id":"e","type":"x","at":1,"data":{"a":${deep(500_000)}}}`),
    'invalid_field',
    'events.0.data',
  ],
  [
    'an event too large',
    'sendTelemetry',
    telemetry(`{"id":"e","type":"x","at":1,"data":{"a":"${'x'.repeat(limit.eventBytes)}"}}`),
    'invalid_field',
    'events.0',
  ],
  ['an event without id', 'sendTelemetry', telemetry('{"id":"","type":"x","at":1}'), 'invalid_field', 'events.0.id'],
  [
    'telemetry after the end',
    'sendTelemetry',
    (world) =>
      byClaim(world, world.ended, {
        body: { claim_id: world.ended.claim_id, events: [{ id: 'e', type: 'x', at: 1 }] },
      }),
    'claim_ended',
  ],

  ['a bad project name', 'createProject', { body: { name: '-x' } }, 'invalid_field', 'name'],
  ['a project that is there', 'createProject', { body: { name: 'default' } }, 'exists', 'name'],
  ['an unknown scope', 'createKey', { body: { scopes: ['root'] } }, 'invalid_field', 'scopes.0'],
  ['a key of no project', 'createKey', { body: { project: 'nowhere' } }, 'not_found', 'project'],
  ['a code of no project', 'createPairingCode', { body: { project: 'nowhere' } }, 'not_found', 'project'],
]

t.test('bad input', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const ended = await box.start()
  await box.send(ended, { offset: 0, bytes: 'out' })
  await box.say(ended, finalWord)
  await submit(rig)
  const world = { rig, box, ended, intent: await box.start() }
  const before = await rig.dump()
  for (const [says, name, bad, code, field] of rows) {
    const asking = typeof bad === 'function' ? bad(world) : bad
    const answer = await rig.call(name, asking)
    t.match(
      { ...answer, id: answer.headers['x-request-id'] },
      {
        code,
        status: errorTable[code].status,
        error: { help: errorTable[code].help, ...(field === undefined ? {} : { details: { field } }) },
        id: /^req_/,
      },
      `${name}: ${says}`,
    )
    t.equal(JSON.parse(answer.bytes.toString()).request_id, answer.headers['x-request-id'])
  }
  t.strictSame(await rig.dump(), before, 'nothing is stored')
  t.strictSame(
    rig.lines.filter(({ event }) => event === 'request.fault'),
    [],
    'and none of it was a fault of pond',
  )
})

t.test('what names no route', async (t) => {
  const rig = await createPondRig(t)
  const send = (method: string, path: string) =>
    rig.pond.answer({ method, path, query: {}, search: '', headers: {}, signal: () => new AbortController().signal })
  for (const path of ['/', '/v1', '/v1/jobs/', '/v1/jobs/a/b/c', '/orch/poll/x', '/v1/jobs/%zz/x/y']) {
    t.equal((await send('GET', path)).status, 404, path)
  }
  for (const [method, path] of [
    ['PUT', '/v1/jobs'],
    ['HEAD', '/healthz'],
    ['POST', `/v1/jobs/${noJob}`],
    ['GET', '/orch/poll'],
  ] as const) {
    t.equal((await send(method, path)).status, 405, `${method} ${path}`)
  }
})

t.test('a pairing that does not hold', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig)
  const good = pairBody(parsed)
  const pair = (body: object) => rig.call('pair', { token: null, body: body as typeof good })
  for (const [body, code, field] of [
    [{ ...good, mac: 'x' }, 'invalid_field', 'mac'],
    [{ ...good, binding_key: 'short' }, 'invalid_field', 'binding_key'],
    [{ ...good, code: `cod_${'0'.repeat(26)}` }, 'code_expired', undefined],
    [{ ...good, token: 'x' }, 'unknown_field', 'token'],
  ] as const) {
    t.match(await pair(body), { code, error: field === undefined ? {} : { details: { field } } })
  }
  const tries = (await rig.call('listPairingCodes')).reply.items.map((item) => item.tries_left)
  t.strictSame(tries, [limit.pairingTries], 'what is no whole try burns none')
})
