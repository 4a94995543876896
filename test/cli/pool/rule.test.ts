// swarm rules, pause and resume without a running swarm, classes, and a run that refuses rules that it cannot read.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { serveControl } from '../../../src/orchestrator/control.ts'
import { openRuleFile, withPaused } from '../../../src/orchestrator/rule-file.ts'
import type { SnapshotBody } from '../../../src/protocol/orch.ts'
import { PROTOCOL } from '../../../src/protocol/version.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { systemDisk } from '../../../src/system/disk.ts'
import { createFakeIo, drive, type FakeIo, makeFolder, startSwarm, swarm, waitFor } from '../../harness/fake-io.ts'
import { FAKE_URL } from '../../harness/fake-pond.ts'
import { jsonReply } from '../../harness/http-reply.ts'
import { fakeBinding, fakeKeys } from '../../harness/swarm-rig.ts'

const fileOf = (io: FakeIo, name = 'rules.json') => join(io.env.SWARM_HOME ?? '', name)
const kept = (io: FakeIo) => JSON.parse(readFileSync(fileOf(io), 'utf8')) as unknown
const verdicts = (io: FakeIo) =>
  io
    .printed()
    .out.trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { rule: string; open: boolean; wants: string; is: string })

/** A home as pairing leaves it. */
function machine(more: object = {}): FakeIo {
  const io = createFakeIo()
  io.env.SWARM_HOME = makeFolder()
  io.env.SWARM_BOXES = fileOf(io, 'boxes')
  io.env.SWARM_SANDBOX = 'none'
  const binding = { ...fakeBinding, pond: FAKE_URL, ...more }
  for (const [name, value] of [
    ['binding.json', binding],
    ['keys.json', fakeKeys],
  ] as const)
    writeFileSync(fileOf(io, name), JSON.stringify(value), { mode: 0o600 })
  return io
}

t.test('rules are set one by one, shown with what they meet, and taken back; the file is private', async (t) => {
  const io = machine()
  t.equal(await swarm(io, 'rules', 'set', 'hours=mon-fri 18:00-08:00; sat,sun', 'projects=default; web'), 0)
  const words = ['max_load=1000', 'min_free_disk_bytes=1K', 'commands=python3*; nice -n 10', 'mains_only=false']
  t.equal(await swarm(io, 'rules', 'set', ...words), 0)
  t.strictSame(kept(io), {
    hours: ['mon-fri 18:00-08:00', 'sat,sun'],
    projects: ['default', 'web'],
    max_load: 1000,
    min_free_disk_bytes: 1024,
    commands: ['python3*', ['nice', '-n', '10']],
    mains_only: false,
  })
  t.equal(statSync(fileOf(io)).mode & 0o777, 0o600)
  t.equal(await swarm(io, 'rules', 'unset', 'hours', 'mains_only'), 0)
  io.writes.length = 0
  t.equal(await swarm(io, 'rules'), 0)
  t.match(io.printed().out, /projects\topen\tdefault; web\tdefault\nmax_load\topen\t1000 a core\t\d+\.\d\d a core\n/)
  t.match(io.printed().out, /min_free_disk_bytes\topen\t4\.0 MiB\t/, 'less than the least is no rule')
  t.equal(io.printed().err, '')
})

t.test('a rule that is not met says so, also as JSON', async (t) => {
  const io = machine()
  t.equal(await swarm(io, 'rules', 'set', 'projects=lab', '--json'), 0)
  t.match(verdicts(io)[0], { rule: 'projects', open: false, wants: 'lab', is: 'default' })
  t.equal(io.printed().err, '')
  t.equal(await swarm(io, 'rules'), 0)
  t.match(io.printed().err, /no jobs are taken now: the owner of this machine does not serve the project default/)
})

t.test('what cannot be a rule is refused with its name, and nothing is kept', async (t) => {
  const io = machine()
  for (const [word, says] of [
    ['colour=red', /no rule "colour"/],
    ['hours', /sets nothing/],
    ['hours=noon', /hours\.0: "noon" are no hours/],
    ['mains_only=maybe', /mains_only: /],
    ['idle_minutes=soon', /idle_minutes: /],
    ['max_load=', /max_load: /],
    ['min_free_disk_bytes=much', /no size/],
  ] as const) {
    t.equal(await swarm(io, 'rules', 'set', word), 2, word)
    t.match(io.printed().err, says)
    io.writes.length = 0
  }
  t.equal(await swarm(io, 'rules', 'unset', 'colour'), 2)
  t.throws(() => kept(io), /ENOENT/)
})

t.test('rules that cannot be read: neither shown, changed nor run with, and how to go on is said', async (t) => {
  const io = machine()
  writeFileSync(fileOf(io), '{"max_load": -1}')
  for (const words of [['rules'], ['rules', 'set', 'mains_only=true'], ['run']]) {
    t.equal(await swarm(io, ...words), 1, words.join(' '))
    t.match(io.printed().err, /could not use the rules in .*rules\.json\n +why: +max_load: .*\n +next: +Mend that file/)
    io.writes.length = 0
  }
})

t.test('a swarm that does not run is paused for when it does; one that is not paired cannot be', async (t) => {
  const io = machine()
  await swarm(io, 'rules', 'set', 'max_load=2')
  t.equal(await swarm(io, 'pause'), 0)
  t.match(io.printed().out, /box does not run; it starts paused/)
  t.strictSame(kept(io), { max_load: 2, paused: true })
  t.equal(await swarm(io, 'resume', '--json'), 0)
  t.strictSame(kept(io), { max_load: 2 })
  const bare = createFakeIo()
  bare.env.SWARM_HOME = makeFolder()
  t.equal(await swarm(bare, 'pause'), 75)
})

t.test('a pause that cannot be kept says what holds, what is broken and what is next', async (t) => {
  const io = machine()
  const refuse = async () => {
    throw new Error('rules.json could not be changed: it is no JSON')
  }
  const control = await serveControl(fileOf(io, 'control.sock'), {
    ...{ status: () => ({ name: 'lab', state: 'paused' }) as never, health: () => ({ ok: true }) as never },
    ...{ drain: () => {}, pause: refuse, resume: refuse, lookAtRules: refuse },
    rotateKeys: async () => ({ ok: true }) as never,
  })
  t.teardown(() => control.close())
  t.equal(await swarm(io, 'pause'), 1)
  t.match(
    io.printed().err,
    /lab is paused, but only until this run ends\n +why: +rules.json could not be changed: .*\n +next: +Mend that file/,
  )
  t.notMatch(io.printed().err, '{')
})

t.test('two who set rules at the same time lose none', async (t) => {
  const io = machine()
  const file = openRuleFile({ disk: systemDisk, clock: systemClock }, fileOf(io))
  await Promise.all([
    file.change((before) => ({ ...before, idle_minutes: 5 })),
    file.change(withPaused(true)),
    file.change((before) => ({ ...before, max_load: 2 })),
  ])
  t.same(kept(io), { idle_minutes: 5, paused: true, max_load: 2 })
  await t.rejects(
    file.change(() => ({ max_load: -1 })),
    /max_load: must be a number above 0/,
  )
  t.same(await file.change((before) => before), kept(io), 'a refusal leaves neither a change nor a lock')
})

t.test('a running swarm looks as soon as rules are set', async (t) => {
  const io = machine()
  const heard: string[] = []
  const note = (name: string) => async () => void heard.push(name)
  const control = await serveControl(fileOf(io, 'control.sock'), {
    ...{ status: () => ({}) as never, health: () => ({ ok: true }) as never, drain: () => {} },
    ...{ pause: note('pause'), resume: note('resume'), lookAtRules: note('rules') },
    rotateKeys: async () => ({ ok: true }) as never,
  })
  t.teardown(() => control.close())
  t.equal(await swarm(io, 'rules', 'set', 'mains_only=false'), 0)
  t.equal(await swarm(io, 'rules', 'unset', 'mains_only'), 0)
  t.strictSame(heard, ['rules', 'rules'])
})

for (const [paired, flags, told] of [
  [undefined, [], /^(laptop|server)$/],
  ['laptop', [], /^laptop$/],
  ['laptop', ['--class', 'server'], /^server$/],
] as const) {
  t.test(`paired as ${paired ?? 'nothing'}, run with [${flags}]: pond hears its class`, async (t) => {
    const io = machine(paired ? { class: paired } : {})
    const limits = { chunk_bytes: 262_144, poll_hold_ms: 50_000, words_per_call: 256 }
    const classes: (string | undefined)[] = []
    io.pond.intercept = ({ name, body }) => {
      if (name === 'sendSnapshot') classes.push((body as SnapshotBody).workers[0]?.class)
      return jsonReply(name === 'poll' ? { protocol: PROTOCOL, intents: [], directives: [], limits } : {})
    }
    const running = startSwarm(io, 'run', ...flags)
    await waitFor(io, () => classes.some(Boolean))
    t.match(classes.at(-1), told)
    io.signal('SIGTERM')
    t.equal(await drive(io, running.code), 0)
  })
}
