// Both programs as a whole: help, usage errors, and flags that each have a variable.
import type { Command } from 'commander'
import t from 'tap'
import { runProgram } from '../../src/cli/main.ts'
import { createPondProgram } from '../../src/cli/pond.ts'
import { createSwarmProgram } from '../../src/cli/swarm.ts'
import { createFakeIo, pond, swarm } from '../harness/fake-io.ts'

function verbs(command: Command): readonly Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(verbs)
}

for (const program of [createPondProgram(), createSwarmProgram()]) {
  t.test(`${program.name()}: every verb has a sentence, every flag a variable of its own`, async (t) => {
    const shared = new Map<string, string>()
    for (const verb of verbs(program)) {
      t.not(verb.description(), '', verb.name())
      for (const { long, envVar } of verb.options) {
        t.match(envVar, new RegExp(`^${program.name().toUpperCase()}_[A-Z_]+$`), `${verb.name()} ${long}`)
        t.equal(shared.get(envVar ?? '') ?? long, long, `${envVar} means one flag`)
        shared.set(envVar ?? '', long ?? '')
      }
    }
    for (const own of ['POND_JOB_ID', 'POND_ATTEMPT', 'POND_ARRAY_INDEX', 'POND_RESULT', 'POND_EVENTS']) {
      t.notOk(shared.has(own), `${own} is set inside a job and must not steer a pond run there`)
    }
  })
}

t.test('help goes to stdout and names the verbs', async (t) => {
  const io = createFakeIo()
  t.equal(await pond(io, '--help'), 0)
  for (const verb of createPondProgram().commands) t.match(io.printed().out, `  ${verb.name()}`)
  io.writes.length = 0
  t.equal(await swarm(io, 'run', '--help'), 0)
  t.match(io.printed().out, /--idle-exit <duration> .*\(env: SWARM_IDLE_EXIT\)[\s\S]*Examples:/)
  t.equal(io.printed().err, '')
  io.writes.length = 0
  t.equal(await pond(io, '--version'), 0)
  t.equal(io.printed().out, '0.0.1\n')
})

for (const [words, says] of [
  [['rin'], /unknown command 'rin' \(Did you mean run\?\)/],
  [['run'], /missing required argument 'command'/],
  [['run', '--timeout', '5', '--', 'x'], /"5" is no duration/],
  [['run', '--env', 'X', '--', 'x'], /NAME=VALUE/],
  [['run', '--priority', '10', '--', 'x'], /whole number from 0 to 9/],
  [['run', '--stream-limit', 'big', '--', 'x'], /"big" is no size/],
  [['run', '--on-lost', 'pray', '--', 'x'], /Allowed choices are fail, rerun, hold/],
  [['logs', '--nope'], /unknown option '--nope'/],
  [[], /Usage: pond/],
  [['key'], /Usage: pond key/],
] as const) {
  t.test(`pond ${words.join(' ')} is a usage error`, async (t) => {
    const io = createFakeIo()
    t.equal(await pond(io, ...words), 2)
    t.match(io.printed().err, says)
    t.equal(io.printed().out, '')
    t.equal(io.pond.calls.length, 0)
  })
}

t.test('an error under --json is one object on stderr; a --json behind -- is not ours', async (t) => {
  const io = createFakeIo()
  t.equal(await pond(io, 'show', '--json', 'job_none'), 1)
  t.match(JSON.parse(io.printed().err), { error: { message: /no job begins/, exit: 1 } })
  io.writes.length = 0
  io.env.POND_TOKEN = 'wrong'
  t.equal(await pond(io, 'submit', '--', 'x', '--json'), 77)
  t.match(io.printed().err, /^pond: could not submit the job/)
  io.writes.length = 0
  t.equal(await pond(io, 'submit', '--json', '--', 'x'), 77)
  t.match(JSON.parse(io.printed().err), { error: { code: 'unauthenticated', exit: 77, request_id: 'req_1' } })
})

t.test('serve gets its flags and defaults, and comes from outside', async (t) => {
  const io = createFakeIo()
  let got: unknown
  const serve = async (flags: unknown) => {
    got = flags
    return 5
  }
  const words = ['serve', '--cors-origin', 'a', '--cors-origin', 'b', '--metrics-port', '0']
  t.equal(await runProgram(io, words, (act) => createPondProgram({ act, serve })), 5)
  t.same(got, {
    host: '127.0.0.1',
    port: 7460,
    json: false,
    corsOrigin: ['a', 'b'],
    metricsPort: 0,
    metricsHost: '127.0.0.1',
    reserve: 256 * 1024 * 1024,
    lease: 90_000,
    pollHold: 50_000,
  })
})

t.test(
  'a lease and a hold of pond are durations within bounds, and a complaint names the flag or the variable',
  async (t) => {
    let got: unknown
    const serve = async (flags: unknown) => {
      got = flags
      return 0
    }
    const run = (io: ReturnType<typeof createFakeIo>, ...words: string[]) =>
      runProgram(io, ['serve', ...words], (act) => createPondProgram({ act, serve }))
    const withEnv = (env: Record<string, string>) => Object.assign(createFakeIo(), { env })
    t.equal(await run(withEnv({ POND_POLL_HOLD: '5s' }), '--lease', '8s'), 0)
    t.match(got, { lease: 8000, pollHold: 5000 })
    for (const [flag, value] of [
      ['--lease', '3999ms'],
      ['--lease', '25h'],
      ['--poll-hold', '51s'],
      ['--poll-hold', '999ms'],
      ['--poll-hold', '5'],
    ] as const) {
      const io = createFakeIo()
      t.equal(await run(io, flag, value), 2, `${flag} ${value}`)
      t.match(io.printed().err, flag)
    }
    const io = withEnv({ POND_LEASE: '1s' })
    t.equal(await run(io), 2)
    t.match(io.printed().err, /POND_LEASE holds "1s"\n.*from 4 s to 1 d/)
  },
)

t.test("a programmer's error is printed, not thrown", async (t) => {
  const io = createFakeIo()
  io.connect = () => {
    throw new TypeError('x is undefined')
  }
  t.equal(await pond(io, 'ps'), 1)
  t.match(io.printed().err, /something went wrong here\n {2}why: {2}x is undefined/)
})
