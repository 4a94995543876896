// The plain executor with real processes: what a process gets, what comes back from it, and what is refused.
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Plan, SetupError } from '../../src/executor/contract.ts'
import { throughDoors } from '../../src/executor/launch.ts'
import { parseStat, readStat } from '../../src/executor/proc.ts'
import { silentLog } from '../../src/system/log.ts'
import { fixture, folderOf, makeExecutor, makeFolder, makePlan, onRung, run, WAYS, watch } from './workshop.ts'

const executor = await makeExecutor()
/** The test runner reaches into Node and gives these to whatever is spawned. */
const OF_THE_RUNNER = /^(_TAPJS_|NODE_OPTIONS=.*tapjs)/

t.test('a process gets exactly the environment that the design names, on every rung', async (t) => {
  // Each is a name that some shell would set, change, obey or drop on the way.
  const hard = {
    PWD: '/elsewhere',
    IFS: 'x',
    UID: '5',
    OPTIND: '7',
    LC_ALL: 'xx_YY',
    SHELLOPTS: 'noexec',
    _: 'u',
    'a.b': '1',
  }
  const cases: readonly [Plan['env'], number | undefined][] = [
    [{}, undefined],
    [{ GREETING: 'hello\nworld = "ü"', EMPTY: '' }, 4],
    [
      {
        LANG: 'C',
        PATH: `${process.env.PATH}`,
        HOME: '/nowhere',
        TMPDIR: '/tmp',
        POND_JOB_ID: 'forged',
        POND_X: 'y',
      },
      0,
    ],
    [hard, undefined],
  ]
  for (const { rung, launchers } of WAYS) {
    const executor = await onRung(rung, { launchers })
    if (executor instanceof SetupError) continue
    for (const [env, arrayIndex] of cases) {
      const more = { env, attempt: 3, ...(arrayIndex === undefined ? {} : { arrayIndex }) }
      const plan = makePlan(['env', '-0'], more)
      const { stdout, stderr, exit } = await run(executor, plan)
      const pairs = stdout().toString().split('\0').slice(0, -1)
      const seen = pairs.filter((pair) => !OF_THE_RUNNER.test(pair)).sort()
      const { POND_JOB_ID, POND_X, ...kept } = env
      const expected = {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        LANG: 'C.UTF-8',
        HOME: join(folderOf(plan), 'home'),
        TMPDIR: join(folderOf(plan), 'tmp'),
        ...kept,
        POND_JOB_ID: plan.jobId,
        POND_ATTEMPT: '3',
        ...(arrayIndex === undefined ? {} : { POND_ARRAY_INDEX: String(arrayIndex) }),
        POND_RESULT: join(folderOf(plan), 'result'),
        POND_EVENTS: join(folderOf(plan), 'events'),
      }
      t.strictSame(
        seen,
        Object.entries(expected)
          .map(([name, value]) => `${name}=${value}`)
          .sort(),
        `${rung} ${JSON.stringify(env)}`,
      )
      t.equal(stderr().length, 0)
      t.equal(exit.rc, 0)
    }
  }
})

t.test('arguments arrive as they are, in the working folder, on every rung', async (t) => {
  for (const { rung, launchers } of WAYS) {
    const executor = await onRung(rung, { launchers })
    if (executor instanceof SetupError) continue
    const plan = makePlan(['sh', '-c', 'pwd; printf "<%s>" "$@"', 'x', 'a b', '', '--', '$HOME\n', 'ü'])
    const { stdout } = await run(executor, plan)
    t.equal(stdout().toString(), `${join(folderOf(plan), 'work')}\n<a b><><--><$HOME\n><ü>`)
  }
})

t.test('a script without a first line is run by the shell, on every rung', async (t) => {
  for (const { rung, launchers } of WAYS) {
    const executor = await onRung(rung, { launchers })
    if (executor instanceof SetupError) continue
    const prepare = (work: string) => writeFileSync(join(work, 'script'), 'echo "<$1>"; exit 4\n', { mode: 0o700 })
    const { stdout, exit } = await run(executor, makePlan(['./script', 'a b'], { prepare }))
    t.equal(stdout().toString(), '<a b>\n')
    t.match(exit, { cause: 'exit', rc: 4 })
  }
})

t.test('its folders are private, and what was put into work is there', async (t) => {
  const plan = makePlan(['cat', 'input.txt'], { prepare: (work) => writeFileSync(join(work, 'input.txt'), 'unpacked') })
  const { execution, stdout } = await watch(executor, plan)
  await execution.exited
  t.equal(stdout().toString(), 'unpacked')
  t.same(readdirSync(folderOf(plan)).sort(), ['home', 'tmp', 'work'])
  for (const name of ['', 'home', 'tmp', 'work']) t.equal(statSync(join(folderOf(plan), name)).mode & 0o777, 0o700)
  await execution.release()
  t.notOk(existsSync(folderOf(plan)))
})

t.test('files lie in a private folder of their own, on every rung, and go with the process', async (t) => {
  const files = { 'id.key': Buffer.from('secret'), '.npmrc': Buffer.from('x=y') }
  for (const { rung, launchers } of WAYS) {
    const executor = await onRung(rung, { launchers })
    if (executor instanceof SetupError) continue
    const plan = makePlan(
      ['sh', '-c', 'cd "$POND_CREDENTIALS" && pwd && stat -c "%a %n" . .npmrc id.key && cat id.key'],
      { files },
    )
    const { execution, stdout } = await watch(executor, plan)
    await execution.exited
    const folder = join(folderOf(plan), 'credentials')
    t.equal(stdout().toString(), `${folder}\n700 .\n600 .npmrc\n600 id.key\nsecret`, rung)
    t.notOk(existsSync(folder), 'gone before the box is given back')
    await execution.release()
  }
  const missing = makePlan(['no-such-program'], { files })
  await t.rejects(executor.start(missing, { output() {}, event() {} }), SetupError)
  t.notOk(existsSync(folderOf(missing)))
  const plain = await run(executor, makePlan(['sh', '-c', 'echo "$CREDENTIALS_DIRECTORY."']))
  t.equal(plain.stdout().toString(), '.\n', 'without files there is none')
})

t.test('no value of a secret becomes an argument', (t) => {
  const launcher = { shell: '/bin/sh', env: '/usr/bin/env', adds: [] }
  const env = Object.fromEntries(
    ['MAILGUN_KEY', 'COMPANY_TOKEN', 'GLOBAL_SECRET', 'FUNCTIONS_KEY', 'HISTORY_TOKEN', 'BASHFUL', 'TOKENTYPE'].map(
      (name) => [name, 'x'],
    ),
  )
  t.same(throughDoors({ file: '/bin/true', args: [], env }, ['/door'], launcher).env, env)
  t.end()
})

t.test('the trace names the process so that no other can pass for it', async (t) => {
  const plan = makePlan(['sleep', '1000'], { attempt: 2 })
  const { execution } = await watch(executor, plan)
  const { trace } = execution
  t.match(trace, { claimId: plan.claimId, jobId: plan.jobId, attempt: 2 })
  t.match(trace.startTime, new RegExp(`^[0-9a-f-]{36}:${readStat(trace.pid)?.startTicks}$`))
  for (const cgroup of trace.cgroups) t.ok(existsSync(cgroup))
  await execution.kill()
  await execution.exited
})

t.test('input goes to stdin, which is empty without one, and need not be read', async (t) => {
  const input = Buffer.from([0, 255, 10, 13, 128])
  const echoed = await run(executor, makePlan(['cat'], { input }))
  t.same(echoed.stdout(), input)
  t.equal((await run(executor, makePlan(['cat']))).stdout().length, 0)
  const ignored = await run(executor, makePlan(['true'], { input: Buffer.alloc(1 << 20) }))
  t.match(ignored.exit, { cause: 'exit', rc: 0 })
})

t.test('both streams arrive byte for byte', async (t) => {
  const script =
    'process.stdout.write(Buffer.from([...Array(256).keys()])); process.stderr.write(Buffer.from([254, 0, 255]))'
  const { stdout, stderr } = await run(executor, makePlan([process.execPath, '-e', script]))
  t.same(stdout(), Buffer.from([...Array(256).keys()]))
  t.same(stderr(), Buffer.from([254, 0, 255]))
})

t.test('exit codes and signals', async (t) => {
  for (const rc of [0, 1, 42, 127, 255]) {
    const { exit } = await run(executor, makePlan(['sh', '-c', `exit ${rc}`]))
    t.match(exit, { cause: 'exit', rc, signal: undefined, eventsSkipped: 0 })
  }
  for (const [name, rc] of Object.entries({ HUP: 129, KILL: 137, SEGV: 139, TERM: 143 })) {
    const { exit } = await run(executor, makePlan(['sh', '-c', `kill -${name} $$`]))
    t.match(exit, { cause: 'signal', rc, signal: `SIG${name}` })
  }
})

t.test('a command that cannot run is refused in plain words, and nothing is left of it', async (t) => {
  const folder = makeFolder(t)
  writeFileSync(join(folder, 'plain'), '#!/bin/sh\n', { mode: 0o644 })
  writeFileSync(join(folder, 'orphan'), '#!/no/such/interpreter -x\n', { mode: 0o755 })
  const cases: readonly [string, RegExp, Plan['env']?][] = [
    ['no-such-program', /cannot run "no-such-program": not found in PATH=/],
    ['', /cannot run "": not found/],
    ['./missing', /work\/missing does not exist/],
    [folder, /is not a file/],
    [join(folder, 'plain'), /plain is not executable/],
    ['plain', /plain is not executable/, { PATH: folder }],
    [join(folder, 'orphan'), /names the interpreter \/no\/such\/interpreter, which cannot be run/],
    ['true', /not found in PATH=\/empty/, { PATH: '/empty' }],
    ['true', /cannot start .*true: .*null byte/i, { BAD: 'a\0b' }],
  ]
  for (const [command, message, env = {}] of cases) {
    const plan = makePlan([command], { env: { PATH: '/usr/bin:/bin', ...env } })
    await t.rejects(executor.start(plan, { output() {}, event() {} }), { name: 'SetupError', message })
  }
  const prepare = () => Promise.reject(new SetupError('the bundle is damaged'))
  await t.rejects(executor.start(makePlan(['true'], { prepare }), { output() {}, event() {} }), { name: 'SetupError' })
  const again = makePlan(['true'])
  t.equal((await run(executor, again)).exit.rc, 0)
  t.equal((await run(executor, again)).exit.rc, 0, 'the claim’s cgroup can be made again')
})

t.test('a program is looked up in the job’s PATH, seen from its working folder', async (t) => {
  const prepare = (work: string) => {
    mkdirSync(join(work, 'bin'))
    writeFileSync(join(work, 'bin/tool'), '#!/bin/sh\necho "$0"\n', { mode: 0o700 })
  }
  for (const command of ['tool', 'bin/tool']) {
    const plan = makePlan([command], { env: { PATH: 'bin' }, prepare })
    t.equal((await run(executor, plan)).stdout().toString(), `${join(folderOf(plan), 'work/bin/tool')}\n`)
  }
})

t.test('a slow reader slows a fast writer and fills no memory', async (t) => {
  const sizeBytes = 200e6
  const plan = makePlan([process.execPath, fixture('flood.mjs'), String(sizeBytes)])
  const before = process.memoryUsage().rss
  let [received, most, waiting, early] = [0, before, 0, 0]
  const execution = await executor.start(plan, {
    async output(_stream, bytes) {
      received += bytes.length
      early += waiting
      waiting += 1
      await new Promise((resolve) => setImmediate(resolve))
      waiting -= 1
      most = Math.max(most, process.memoryUsage().rss)
    },
    event() {},
  })
  t.equal((await execution.exited).rc, 0)
  t.equal(received, sizeBytes)
  t.equal(early, 0, 'nothing comes while the watcher waits')
  t.ok(most - before < 150e6, `grew by ${most - before} bytes`)
})

t.test('a watcher that fails does not hang the process', async (t) => {
  const failures: string[] = []
  const log = { ...silentLog, error: (event: string) => void failures.push(event) }
  const executor = await makeExecutor({ log })
  for (const output of [
    () => Promise.reject(new Error('full')),
    () => {
      throw new Error('broken')
    },
  ]) {
    const execution = await executor.start(makePlan(['seq', '100000']), { output, event() {} })
    t.equal((await execution.exited).rc, 0)
  }
  const plan = makePlan(['sh', '-c', "echo '{}' >$POND_EVENTS"])
  const event = () => {
    throw new Error('broken')
  }
  t.equal((await (await executor.start(plan, { output() {}, event })).exited).rc, 0)
  t.ok(failures.length >= 3)
  t.same(new Set(failures), new Set(['executor.watch_failed']))
})

t.test('the result is taken when it is JSON of at most 1 MiB in a file of its own', async (t) => {
  const write = (script: string) => run(executor, makePlan(['sh', '-c', script]))
  const good = await write(`printf '{"a": [1, "ü"]}' >$POND_RESULT; exit 7`)
  t.same([good.exit.rc, good.exit.result?.toString(), good.exit.resultProblem], [7, '{"a": [1, "ü"]}', undefined])
  const most = await write(`{ printf '"'; head -c 1048574 /dev/zero | tr '\\0' x; printf '"'; } >$POND_RESULT`)
  t.equal(most.exit.result?.length, 1 << 20)
  const cases: readonly [string, RegExp | undefined][] = [
    ['true', undefined],
    [': >$POND_RESULT', undefined],
    [
      `{ printf '"'; head -c 1048575 /dev/zero | tr '\\0' x; printf '"'; } >$POND_RESULT`,
      /larger than 1048576 bytes: 1048577/,
    ],
    ['echo "{oops" >$POND_RESULT', /not JSON/],
    [`printf '"\\377"' >$POND_RESULT`, /not JSON/],
    ['echo 1 >real; ln -s "$PWD/real" $POND_RESULT', /symbolic link/],
    ['mkfifo $POND_RESULT', /not a regular file/],
    ['mkdir $POND_RESULT', /not a regular file/],
  ]
  for (const [script, problem] of cases) {
    const { exit } = await write(script)
    t.equal(exit.rc, 0)
    t.equal(exit.result, undefined, script)
    if (problem === undefined) t.equal(exit.resultProblem, undefined, script)
    else t.match(exit.resultProblem, problem)
  }
})

t.test('events arrive while the process runs; what is no event is counted', async (t) => {
  const arrived: unknown[] = []
  const plan = makePlan(['sh', '-c', `echo '{"step":1}' >$POND_EVENTS; while [ ! -e seen ]; do sleep 0.01; done`])
  const live = await executor.start(plan, {
    output() {},
    event(value) {
      arrived.push(value)
      writeFileSync(join(folderOf(plan), 'work/seen'), '')
    },
  })
  await live.exited
  t.same(arrived, [{ step: 1 }])

  const long = `{"long":"${'x'.repeat(70_000)}"}`
  const lines = [
    '{"n":1}',
    'oops',
    '',
    '[1]',
    'null',
    '3',
    long,
    `{"fits":"${'y'.repeat(65_000)}"}`,
    '{"n":2,"u":"ü"}',
    '{"unended":true}',
  ]
  const { events, exit } = await run(
    executor,
    makePlan(['sh', '-c', 'cat >>$POND_EVENTS'], { input: Buffer.from(lines.join('\n')) }),
  )
  t.same(
    events.map((one) => Object.keys(one)[0]),
    ['n', 'fits', 'n', 'unended'],
  )
  t.equal(exit.eventsSkipped, 5)

  const many = await run(executor, makePlan(['sh', '-c', `seq 100000 | sed 's/.*/{"n":&}/' >$POND_EVENTS`]))
  t.same([many.events.length, many.events.at(-1)], [100_000, { n: 100_000 }])
  for (const script of ['mkfifo $POND_EVENTS', `echo '{"a":1}' >real; ln -s "$PWD/real" $POND_EVENTS`]) {
    const { events, exit } = await run(executor, makePlan(['sh', '-c', script]))
    t.match({ events, rc: exit.rc }, { events: [], rc: 0 })
  }
})

t.test('a program’s name may hold what the fields of /proc/PID/stat are separated by', (t) => {
  const rest = `S 4 5 6 0 -1 0 0 0 0 0 10 20 30 40 ${'0 '.repeat(4)}777 0 0`
  t.match(parseStat(`123 (a) R 1 (b) ${rest}`), {
    pid: 123,
    state: 'S',
    parent: 4,
    group: 5,
    session: 6,
    cpuMs: 1000,
    startTicks: 777,
  })
  t.equal(parseStat('no such thing'), undefined)
  t.end()
})

t.test('a shell that adds to the environment is corrected by env', (t) => {
  const launcher = { shell: '/bin/sh', env: '/usr/bin/env', adds: ['SHLVL'] }
  const argv = { file: '/opt/a=b', args: ['c'], env: { X: '1', 'y-z': '2' } }
  const { args, env } = throughDoors(argv, ['/door'], launcher)
  t.same(args.slice(2), [
    'sh',
    '/door',
    '--',
    '/usr/bin/env',
    '-u',
    'SHLVL',
    'y-z=2',
    '/bin/sh',
    '-c',
    'exec "$@"',
    'sh',
    '/opt/a=b',
    'c',
  ])
  t.same(env, { X: '1' })
  t.end()
})
