// The printed tables, and the protocol page: its examples are what the schemas take and its figures are what they say.
import { createHash, createHmac, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import canonicalize from 'canonicalize'
import t from 'tap'
import { z } from 'zod'
import { SKEW_WARN_MS } from '../../src/client/client.ts'
import { errorTable } from '../../src/protocol/error.ts'
import { causeTable, jobSpec, jobStates } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import * as orch from '../../src/protocol/orch.ts'
import {
  printCauseTable,
  printErrorTable,
  printJobStateTable,
  printLimitTable,
  printRouteTable,
} from '../../src/protocol/print.ts'
import { routes } from '../../src/protocol/route.ts'
import * as word from '../../src/protocol/word.ts'
import { importPublicKey } from '../../src/seal/key.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallSigner, type SignableCall } from '../../src/seal/request-signature.ts'
import { signingPairOf } from '../harness/signing-key.ts'

const page = readFileSync(new URL('../../src/protocol/README.md', import.meta.url), 'utf8')

t.test('each table has a head and a row for each entry', async (t) => {
  const tables = [
    [printRouteTable(), routes, '| `POST /orch/poll` | binding | Ask for'],
    [printErrorTable(), errorTable, '| `chunk_gap` | 409 | now | Send again from details.committed. |'],
    [printCauseTable(), causeTable, '| `ttl` | it waited longer than ttl_ms |'],
    [printJobStateTable(), jobStates, '| `expired` | yes |'],
    [printLimitTable(), limit, '| `chunkBytes` | 262144 | 256 KiB |'],
  ] as const
  for (const [text, entries, row] of tables) {
    const lines = text.split('\n')
    t.equal(lines.length, 2 + Object.keys(entries).length)
    t.match(text, row)
    const columns = lines.map((line) => line.replaceAll('\\|', '').split('|').length)
    t.equal(new Set(columns).size, 1, 'every row has every column')
  }
})

t.test('a limit is told in its largest whole unit; a count has none', async (t) => {
  const text = printLimitTable()
  for (const row of [
    '| `streamBytesMost` | 4294967296 | 4 GiB |',
    '| `idempotencyKeyMs` | 604800000 | 7 d |',
    '| `pairingCodeMs` | 600000 | 10 min |',
    '| `leaseMs` | 90000 | 90 s |',
    '| `pairingTries` | 5 |  |',
  ]) {
    t.match(text, row)
  }
})

/** Schemas that the examples of the page must pass, strictly also for replies. */
const schemas: Readonly<Record<string, z.ZodType>> = {
  pairBody: orch.pairBody,
  pairReply: orch.pairReply.strict(),
  pollBody: orch.pollBody,
  pollReply: orch.pollReply.strict(),
  jobSpec,
  statesBody: word.statesBody,
  statesReply: orch.statesReply.strict(),
  chunkReply: word.chunkReply.strict(),
  finalBody: word.statesBody,
  telemetryBody: word.telemetryBody,
  telemetryReply: word.telemetryReply.strict(),
  snapshotBody: orch.snapshotBody,
  error: z.strictObject({
    error: z.strictObject({
      code: z.enum(Object.keys(errorTable)),
      message: z.string(),
      details: z.object(),
      help: z.string(),
    }),
    request_id: z.string(),
  }),
}

const examples = new Map(
  [...page.matchAll(/<!-- example:(\w+) -->\n```(?:json|text)\n([\s\S]*?)\n```/g)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
)
const example = (name: string) => examples.get(name) ?? ''

t.test('the examples of the page pass the schemas', async (t) => {
  t.strictSame(
    [...examples.keys()].sort(),
    [...Object.keys(schemas), 'canonical', 'code', 'signatureBase', 'signatureHeaders'].sort(),
  )
  for (const [name, schema] of Object.entries(schemas)) {
    const result = schema.safeParse(JSON.parse(example(name)))
    t.ok(result.success, name, { issues: result.error?.issues })
  }
  const shown = JSON.parse(example('error')).error
  t.equal(shown.help, errorTable.chunk_gap.help)
})

t.test('the worked pairing comes out as printed', async (t) => {
  const { mac, ...body } = JSON.parse(example('pairBody'))
  const [url = '', code = ''] = example('code').split('#')
  const [id, secret = '', hash] = code.split('.')
  t.equal(new URL(url).protocol, 'https:')
  t.equal(body.code, `cod_${id}`)
  t.equal(example('canonical'), canonicalize(body))
  t.match(page, `${Buffer.byteLength(example('canonical'))} bytes on one line`)
  const secretBytes = Buffer.from(secret, 'base64url')
  t.match(page, `The secret is the bytes \`${secretBytes.toString('hex')}\``)
  t.equal(mac, createHmac('sha256', secretBytes).update(example('canonical')).digest('hex'))
  const pondKey = Buffer.from(JSON.parse(example('pairReply')).pond_key, 'base64url')
  const sha256 = createHash('sha256').update(pondKey).digest()
  t.match(page, sha256.toString('hex'))
  t.equal(sha256.subarray(0, 16).toString('base64url'), hash)
})

t.test('the worked signature comes out as printed', async (t) => {
  const base = example('signatureBase')
  t.match(page, `Its base, ${Buffer.byteLength(base)} bytes`)
  const headers = new Headers(
    example('signatureHeaders')
      .split('\n')
      .map((line) => line.split(': ') as [string, string]),
  )
  const lines = new Map(base.split('\n').map((line) => /^"([^"]+)": (.*)$/.exec(line)?.slice(1) as [string, string]))
  const [path = '', search = ''] = [lines.get('@path'), lines.get('@query')]
  t.ok(page.includes(`POST ${path}${search}`), 'it is the chunk of the page')
  const hello: SignableCall = {
    method: lines.get('@method') ?? '',
    path,
    search,
    headers: { 'x-claim-token': lines.get('x-claim-token') },
    body: Buffer.from('hello\n'),
  }
  const { pond_key } = JSON.parse(example('pairReply'))
  const pair = signingPairOf(Buffer.alloc(32, 1))
  t.equal(JSON.parse(example('pairBody')).binding_key, pair.publicKey)
  const [, created, nonce = ''] = /;created=(\d+);nonce="([^"]+)"/.exec(base) ?? []
  const fresh = { createdMs: Number(created) * 1000, nonce: Buffer.from(nonce, 'base64url') }
  t.strictSame(createCallSigner(pair, hashPondKey(pond_key))(hello, fresh), Object.fromEntries(headers))
  const signature = Buffer.from(headers.get('signature')?.slice('pond=:'.length, -1) ?? '', 'base64')
  t.ok(
    verify(null, Buffer.from(base), importPublicKey(pair.publicKey), signature),
    'the printed base is what is signed',
  )
})

t.test('the worked job and its output come out as printed', async (t) => {
  const [intent] = JSON.parse(example('pollReply')).intents
  const bytes = Buffer.from(intent.job, 'base64')
  t.equal(bytes.toString('base64'), intent.job, 'padded standard base64')
  t.equal(bytes.toString(), example('jobSpec'))
  t.equal(canonicalize(JSON.parse(example('jobSpec'))), example('jobSpec'))
  t.match(page, `with digest \`${createHash('sha256').update(bytes).digest('hex')}\``)
  const [word] = JSON.parse(example('finalBody')).words
  const hello = createHash('sha256').update('hello\n').digest('hex')
  t.match(word.streams.stdout, { bytes: 6, sha256: hello, produced: 6, end: 'complete' })
  t.equal(JSON.parse(example('chunkReply')).committed, 6)
})

t.test('what is asked of a worker is all on the page', async (t) => {
  const seals = readFileSync(new URL('../../src/seal/README.md', import.meta.url), 'utf8')
  const named = new Set(`${page} ${seals}`.match(/`[^`\n]+`|"[^"\n]+"/g)?.flatMap((text) => text.match(/\w+/g) ?? []))
  for (const name of ['pair', 'poll', 'sendSnapshot', 'sendWord', 'sendTelemetry', 'enroll'] as const) {
    const body = routes[name].body as z.ZodType
    const fields = [...namesIn(z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' }))]
    const missing = fields.filter((field) => !named.has(field))
    t.strictSame(missing, [], name)
  }
})

/** Every name of a field, however deep. */
function* namesIn(schema: unknown): Generator<string> {
  if (typeof schema !== 'object' || schema === null) return
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') yield* Object.keys(value as object)
    yield* namesIn(value)
  }
}

t.test('the figures in the prose are those of the code', async (t) => {
  for (const text of [
    `lives ${limit.pairingCodeMs / 60_000} minutes`,
    `for ${limit.signatureSkewMs / 1000} s before and after`,
    `more than ${SKEW_WARN_MS / 1000} s off`,
    `0 to ${limit.pollHoldMs}; 0 answers`,
    `after ${limit.pollHoldMs / 1000} s, or after ${limit.pollHoldBusyMs / 1000} s`,
    `is lost ${limit.leaseMs / 1000} s (\`lease_ms\`)`,
    `within \`confirm_ms\` (${limit.confirmMs / 1000} s)`,
    `1 to \`chunk_bytes\` (${limit.chunkBytes}) bytes`,
    `min(${limit.tailBytes}, \`produced\` − \`bytes\`)`,
    `takes 1 to ${limit.wordsPerCall} of them in ${limit.bodyBytes / 2 ** 20} MiB`,
    `1 to ${limit.eventsPerCall} events, each at most ${limit.eventBytes / 1024} KiB`,
    `keeps ${limit.eventsPerClaim.toLocaleString('en')} a claim`,
    `${limit.killGraceMs / 1000} s later SIGKILL`,
    `not offered to this worker for ${limit.passOverMs / 60_000} minutes`,
    `at most every ${limit.snapshotLeastMs / 1000} s, and at least every ${limit.snapshotMostMs / 1000} s`,
  ]) {
    t.ok(page.includes(text), text)
  }
})
