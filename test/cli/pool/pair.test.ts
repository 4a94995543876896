// The pool's verbs: pair and unpair, doctor, run with its ends, and the orders over control.sock.
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkSkew } from '../../../src/cli/pool/doctor.ts'
import { splitCode } from '../../../src/cli/pool/pair.ts'
import { problemWithGpus } from '../../../src/cli/pool/run.ts'
import { serveControl } from '../../../src/orchestrator/control.ts'
import { openHome } from '../../../src/orchestrator/home.ts'
import type { SwarmStatus } from '../../../src/orchestrator/status.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { systemDisk } from '../../../src/system/disk.ts'
import { createFakeIo, drive, type FakeIo, makeFolder, startSwarm, swarm, waitFor } from '../../harness/fake-io.ts'
import { FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { errorReply, jsonReply } from '../../harness/http-reply.ts'

const POND_KEY = Buffer.alloc(32, 9).toString('base64url')
const LIMITS = { chunk_bytes: 262_144, poll_hold_ms: 50_000, words_per_call: 256 }
const BINDING = fakeId('bnd', 1)

const pairReply = {
  binding_id: BINDING,
  worker_id: fakeId('wrk', 1),
  token: 'pond_bind_secret',
  token_expires_at: 4_000_000_000_000,
  protocol: 2,
  pond_key: POND_KEY,
  project: 'default',
  limits: LIMITS,
}

function codeOf(key = POND_KEY): string {
  const hash = createHash('sha256').update(Buffer.from(key, 'base64url')).digest().subarray(0, 16)
  return [fakeId('cod', 1).slice(4), Buffer.alloc(16, 1).toString('base64url'), hash.toString('base64url')].join('.')
}

/** A machine whose folder is short enough for a socket in it. */
function machine(): FakeIo {
  const io = createFakeIo()
  io.env.SWARM_HOME = makeFolder()
  io.env.SWARM_BOXES = join(homeOf(io), 'boxes of users')
  io.env.SWARM_SANDBOX = 'none'
  io.pond.intercept = ({ name }) => (name === 'pair' ? jsonReply(pairReply) : undefined)
  return io
}

async function paired(t: Test): Promise<FakeIo> {
  const io = machine()
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`, '--name', 'lab', '--slots', '3'), 0)
  io.writes.length = 0
  return io
}

const homeOf = (io: FakeIo) => io.env.SWARM_HOME ?? ''

t.test('pair keeps a binding in private files and prints no secret', async (t) => {
  const io = machine()
  t.equal(
    await swarm(
      io,
      'pair',
      `${FAKE_URL}#${codeOf()}`,
      '--label',
      'room=7',
      '--without-label',
      'zone',
      '--slots',
      '3',
      '--name',
      'lab',
    ),
    0,
  )
  t.match(io.printed().out, /paired with http:\/\/pond.localhost:7460 as lab \(project default, bnd_/)
  t.match(io.printed().out, /fingerprint \S{4}-/)
  t.notMatch(io.printed().out, 'pond_bind_')
  t.match(JSON.parse(readFileSync(join(homeOf(io), 'binding.json'), 'utf8')), {
    pond: FAKE_URL,
    token: 'pond_bind_secret',
  })
  for (const file of ['binding.json', 'keys.json']) t.equal(statSync(join(homeOf(io), file)).mode & 0o777, 0o600)
  const said = { labels: { room: '7' }, without_labels: ['zone'], resources: { slots: 3 } }
  t.match(io.pond.calls[0]?.body, { name: 'lab', worker: said })
  t.match(io.printed().out, /labels room=7/)
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 1, 'a home has one binding')
})

t.test('a pond that is not the one of the code is refused, and nothing is kept', async (t) => {
  const io = machine()
  const other = Buffer.alloc(32, 8).toString('base64url')
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf(other)}`), 1)
  t.match(io.printed().err, /its key does not match/)
  t.equal(await swarm(io, 'run'), 1)
  t.match(io.printed().err, /is not paired/)
})

t.test('a code comes from an argument, with a URL beside it, or from stdin', async (t) => {
  t.same(splitCode('https://p#a.b.c', undefined), { pond: 'https://p', code: 'a.b.c' })
  t.same(splitCode('a.b.c', 'https://p'), { pond: 'https://p', code: 'a.b.c' })
  t.throws(() => splitCode('a.b.c', undefined), /does not say which pond/)
  t.throws(() => splitCode('https://p#a', 'https://q'), /not for https/)
  const io = machine()
  io.input = `${FAKE_URL}#${codeOf()}\n`
  t.equal(await swarm(io, 'pair', '-', '--json'), 0)
  t.match(JSON.parse(io.printed().out), { binding_id: BINDING, token: undefined })
})

t.test('what keeps a machine from pairing has its exit code', async (t) => {
  const io = machine()
  t.equal(await swarm(io, 'pair', 'http://pond.example#x'), 2, 'in the clear')
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#short`), 1)
  io.pond.intercept = () => errorReply('code_used', 'used')
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 1)
  io.pond.intercept = () => errorReply('upgrade_required', 'old')
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 76)
  io.network = () => Promise.reject(new Error('ENOTFOUND'))
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 75)
})

t.test('a person at a terminal is asked once', async (t) => {
  const io = Object.assign(createFakeIo({ tty: true }), { answer: 'no' })
  io.env.SWARM_HOME = makeFolder()
  io.pond.intercept = () => jsonReply(pairReply)
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 130)
  t.equal(io.pond.calls.length, 0)
  t.equal(await swarm(io, 'pair', '--yes', `${FAKE_URL}#${codeOf()}`), 0)
})

t.test('unpair tells pond and forgets; without pond only by force', async (t) => {
  const io = await paired(t)
  io.network = () => Promise.reject(new Error('ENOTFOUND'))
  t.equal(await swarm(io, 'unpair'), 75)
  t.equal(await swarm(io, 'unpair', '--force'), 0)
  t.match(io.printed().err, `pond binding revoke ${BINDING}`)
  t.equal(await swarm(io, 'unpair'), 1, 'nothing left')
  const gone = await paired(t)
  gone.pond.intercept = () => errorReply('unauthenticated', 'revoked')
  t.equal(await swarm(gone, 'unpair'), 0, 'revoked already')
  const keyless = await paired(t)
  rmSync(join(homeOf(keyless), 'keys.json'))
  for (const verb of ['unpair', 'run', 'doctor']) t.equal(await swarm(keyless, verb), 1, `${verb} without keys`)
  t.match(keyless.printed().err, /the keys of .* are gone.*swarm unpair --force/s)
  t.match(keyless.printed().out, /pairing\tfail\t.*keys are gone or damaged/)
  t.equal(await swarm(keyless, 'unpair', '--force'), 0)
})

t.test('doctor', async (t) => {
  const io = await paired(t)
  const whoami = { binding_id: BINDING, name: 'lab', project: 'default', protocol: 2, pond_key: POND_KEY, workers: [] }
  io.pond.intercept = ({ name }) => (name === 'orchWhoami' ? jsonReply(whoami) : undefined)
  t.equal(await swarm(io, 'doctor'), 0)
  t.match(
    io.printed().out,
    /home\tok\t.*\npairing\tok\t.*\npond\tok\t.*\nserves\tok\tproject default\nclock\tok\t.*\nswarm\twarn\t.*\nexecutor\t(ok|warn)\t.*\nsandbox\t(ok|warn)\t.*\nfor jobs\tok\t\d+ cores, .* of memory, .* of disk.*\ndisk\t/,
  )
  chmodSync(join(homeOf(io), 'keys.json'), 0o644)
  io.pond.intercept = () => jsonReply({ ...whoami, pond_key: Buffer.alloc(32).toString('base64url') })
  io.writes.length = 0
  t.equal(await swarm(io, 'doctor', '--json'), 1)
  const checks = io
    .printed()
    .out.trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(checks[0], { check: 'home', level: 'fail', says: /keys.json/ })
  t.match(checks[2], { check: 'pond', level: 'fail' })
  t.notOk(checks.some(({ check }) => check === 'proxy'))
  t.equal(checkSkew(-4000).level, 'ok')
  t.equal(checkSkew(60_000).level, 'warn')
  t.equal(checkSkew(-400_000).level, 'fail')
})

t.test('doctor names the proxy that pond is reached through, and nothing that opens it', async (t) => {
  const io = await paired(t)
  const path = join(homeOf(io), 'binding.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace(FAKE_URL, 'https://pond.example'))
  io.env.https_proxy = 'http://user:secret@proxy.example:3128'
  await swarm(io, 'doctor')
  t.match(io.printed().out, /proxy\tok\thttps:\/\/pond.example is reached through http:\/\/proxy.example:3128/)
  io.env.https_proxy = 'socks5://user:secret@proxy.example'
  t.equal(await swarm(io, 'doctor'), 1)
  t.match(io.printed().out, /proxy\tfail\tHTTPS_PROXY holds no http/)
  t.notMatch(io.printed(), /secret/)
})

for (const [code, exit] of [
  ['unauthenticated', 77],
  ['upgrade_required', 76],
] as const) {
  t.test(`run ends with ${exit} when pond says ${code}`, async (t) => {
    const io = await paired(t)
    io.pond.intercept = () => errorReply(code, 'no')
    t.equal(await swarm(io, 'run'), exit)
  })
}

t.test('a machine shows its keys before it is paired, and pairs with those', async (t) => {
  const io = createFakeIo()
  io.env.SWARM_HOME = makeFolder()
  t.equal(await swarm(io, 'keys', 'show', '--json'), 0)
  const [{ fingerprint: shown }] = JSON.parse(io.printed().out).workers
  t.match(io.printed().err, `pond pairing create --fingerprint ${shown}`)
  io.writes.length = 0
  t.equal(await swarm(io, 'keys', 'show', '--json'), 0)
  t.equal(JSON.parse(io.printed().out).workers[0].fingerprint, shown, 'the same each time')
  io.pond.intercept = () => jsonReply(pairReply)
  const path = join(io.env.SWARM_HOME, 'keys.json')
  chmodSync(path, 0o644)
  for (const verb of [
    ['keys', 'show'],
    ['pair', `${FAKE_URL}#${codeOf()}`],
  ]) {
    t.equal(await swarm(io, ...verb), 1, `${verb[0]} with keys that others may read`)
  }
  t.equal(io.pond.calls.length, 0)
  chmodSync(path, 0o600)
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${codeOf()}`), 0)
  const body = io.pond.calls.at(-1)?.body as { worker: { sealing_key: string; signing_key: string } }
  t.equal(fingerprint(body.worker.sealing_key, body.worker.signing_key), shown)
})

t.test('keys and token that others may read are not used, and what to do is said', async (t) => {
  for (const name of ['keys.json', 'binding.json']) {
    for (const mode of [0o640, 0o604, 0o620, 0o610, 0o644]) {
      const io = await paired(t)
      const path = join(homeOf(io), name)
      chmodSync(path, mode)
      for (const verb of [['run'], ['keys', 'show'], ['keys', 'rotate'], ['worker', 'ls']]) {
        t.equal(await swarm(io, ...verb), 1, `${verb.join(' ')}, ${name} ${mode.toString(8)}`)
      }
      t.match(io.printed().err, `Type: chmod 600 ${path}`)
      t.strictSame(
        io.pond.calls.filter(({ name }) => name !== 'pair'),
        [],
        'pond hears nothing',
      )
    }
  }
})

t.test('where nothing keeps jobs apart, a run says what does not come', async (t) => {
  for (const [words, warns] of [
    [['--sandbox', 'none'], true],
    [['--sandbox', 'none', '--allow-unsandboxed'], false],
  ] as const) {
    const io = await paired(t)
    io.pond.intercept = () => errorReply('unauthenticated', 'no')
    t.equal(await swarm(io, 'run', ...words), 77)
    t.equal(/"event":"no_sandbox"/.test(io.printed().err), warns, words.join(' '))
  }
})

t.test('a machine that pond does not take any more is told to pair anew', async (t) => {
  const io = await paired(t)
  io.pond.intercept = () => errorReply('unauthenticated', 'this binding was revoked')
  t.equal(await swarm(io, 'run', '--json'), 77)
  const { error } = JSON.parse(io.printed().err.trim().split('\n').at(-1) ?? '')
  t.match(error, { why: 'this binding was revoked', next: /swarm unpair, then swarm pair URL#CODE/, exit: 77 })
})

t.test('a second run on one home is refused, SIGTERM drains the first', async (t) => {
  const io = await paired(t)
  const reply = { protocol: 2, intents: [], directives: [], limits: LIMITS }
  io.pond.intercept = async ({ name, signal }) => {
    if (name !== 'poll') return jsonReply({})
    await new Promise<void>((resolve) => {
      io.clock.after(1000, resolve)
      signal?.addEventListener('abort', () => resolve())
    })
    return jsonReply(reply)
  }
  const first = startSwarm(io, 'run')
  await waitFor(io, () => io.pond.calls.some(({ name }) => name === 'poll'))
  t.equal(await swarm(io, 'run'), 1)
  t.match(io.printed().err, /already runs/)
  t.equal(await swarm(io, 'status'), 0)
  t.match(io.printed().out, /slots: +0 of 3 in use/)
  io.signal('SIGTERM')
  t.equal(await drive(io, first.code), 0)
  t.match(io.printed().err, /"event":"signal.drain"/)
})

const status: SwarmStatus = {
  state: 'ready',
  class: 'server',
  pond: FAKE_URL,
  project: 'default',
  name: 'lab',
  binding_id: BINDING,
  worker_id: 'wrk_1',
  fingerprint: 'aaaa-bbbb',
  ...{ version: '1', os: 'linux', arch: 'x64' },
  executor: 'process',
  rung: 'cgroup-v2',
  sandbox: 'uid',
  allow_unsandboxed: false,
  slots: 4,
  free: 3,
  workers: [],
  healthy: false,
  missed_holds: 2,
  hold_ms: 24_000,
  since_poll_ms: 3000,
  skew_ms: -250,
  claims: [{ claim_id: 'clm_1', job_id: 'job_1', state: 'running', started_at: 0 }],
  orphans: [{ claim_id: 'clm_2', job_id: 'job_2' }],
}

t.test('status, drain, pause and resume go over control.sock', async (t) => {
  const io = machine()
  const home = await openHome(systemDisk, homeOf(io))
  t.equal(await swarm(io, 'status'), 75, 'no swarm answers')
  const heard: unknown[] = []
  const control = await serveControl(home.controlPath, {
    status: () => status,
    health: () => ({ ok: true, missed_holds: 0, turning: true }),
    drain: (options) => void heard.push(options),
    pause: async () => void heard.push('pause'),
    resume: async () => void heard.push('resume'),
    lookAtRules: async () => void heard.push('rules'),
    rotateKeys: async () => ({ ok: true }),
  })
  t.teardown(() => control.close())
  t.equal(await swarm(io, 'status'), 0)
  t.match(io.printed().out, /state: +ready, not healthy\n/)
  t.match(io.printed().out, '  job_2 came too late and is kept beside the job: pond show job_2\n')
  t.match(io.printed().out, /sandbox: +uid\n/)
  t.match(io.printed().out, /clock: +pond is 250 ms behind\n {2}job_1 running, started/)
  for (const words of [['drain', '--deadline', '30m'], ['drain'], ['pause'], ['resume']])
    t.equal(await swarm(io, ...words), 0)
  t.same(heard, [{ deadlineMs: 1_800_000 }, {}, 'pause', 'resume'])
  io.writes.length = 0
  t.equal(await swarm(io, 'status', '--json'), 0)
  t.same(JSON.parse(io.printed().out), status)
})

t.test('a GPU that is not there is named, with those that are', async (t) => {
  const there = [{ uuid: 'GPU-a', model: 'NVIDIA A100' }, { uuid: 'GPU-b' }]
  t.equal(problemWithGpus(undefined, there), undefined)
  t.equal(problemWithGpus(['GPU-b', 'GPU-a'], there), undefined)
  t.equal(problemWithGpus(['none'], []), undefined)
  t.match(problemWithGpus(['GPU-a', 'GPU-c'], there), {
    ...{ message: '--gpu "GPU-c" names no GPU of this machine', exit: 2 },
    next: 'Name one of GPU-a (NVIDIA A100), GPU-b, or none.',
  })
  t.match(problemWithGpus(['GPU-a'], []), { next: /Neither nvidia-smi nor rocm-smi tells of any/ })
})
