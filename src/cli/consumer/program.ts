// The consumer's verbs as a commander tree: words, flags, help. Each verb is loaded when it runs.
import type { Command } from 'commander'
import type { JobState } from '../../protocol/job.ts'
import type { ConnectionFlags } from '../config.ts'
import { asCount, flag } from '../flag.ts'
import type { Act } from '../main.ts'
import type { GetFlags } from './artifacts.ts'
import type { DeadListFlags } from './dead.ts'
import { addJobFlags } from './job-flag.ts'
import type { SubmitFlags } from './job-spec.ts'
import type { LogsFlags } from './logs.ts'
import type { PsFlags } from './ps.ts'
import type { ReplayFlags } from './replay.ts'
import type { RunFlags } from './run.ts'
import type { UsageFlags } from './usage.ts'
import type { VerifyFlags } from './verify.ts'

const LIST_DEFAULT = 50
const LIST_MOST = 100_000
/** As the protocol has it; written out like the states. */
const USAGE_DAYS_MOST = 31
const REPLAYS_MOST = 1000
/** Written out, because the schemas they come from take longer to load than the help to print. */
const states: readonly JobState[] = [
  'waiting',
  'queued',
  'claimed',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
]

export function addConsumerVerbs(program: Command, act: Act): void {
  program.commandsGroup('Jobs:')
  addRun(program, act)
  addSubmit(program, act)
  addLogs(program, act)
  addLists(program, act)
  addDead(program, act)
  addArtifacts(program, act)
  program.commandsGroup('This side:')
  addIdentity(program, act)
}

/** What every verb that speaks to pond takes. */
export function addConnection(command: Command): Command {
  const group = 'Which pond:'
  flag(command, '--url <url>', { says: "pond's base URL", variable: 'POND_URL', group })
  flag(command, '--token-file <file>', {
    says: 'file with the token, - for stdin; or the token in POND_TOKEN',
    variable: 'POND_TOKEN_FILE',
    group,
  })
  flag(command, '--project <name>', {
    says: 'project to act for, with an admin token',
    variable: 'POND_PROJECT',
    group,
  })
  flag(command, '--home <dir>', { says: "the client's own folder", variable: 'POND_HOME', group })
  flag(command, '--insecure-http', { says: 'allow http:// beyond this host', variable: 'POND_INSECURE_HTTP', group })
  return flag(command, '--json', { says: 'print JSON with stable keys', variable: 'POND_JSON', group })
}

function addRun(program: Command, act: Act): void {
  const command = program
    .command('run')
    .description('submit a job, show its output, and exit with its code')
    .argument('<command...>', 'what to run; everything behind -- belongs to it')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Ctrl-C on a terminal asks whether to detach or to cancel; elsewhere SIGINT and SIGTERM cancel the job.
With --json stdout holds the ended job as one object, and the job's own output all goes to stderr.`,
    )
  addJobFlags(command)
  flag(command, '-d, --detach', { says: 'print the id and leave', variable: 'POND_RUN_DETACH' })
  flag(command, '-q, --quiet', { says: 'say nothing about waiting', variable: 'POND_RUN_QUIET' })
  addConnection(command).action((words: string[]) =>
    act(async (io) =>
      (await import('./run.ts')).run(io, { ...command.opts<Omit<RunFlags, 'command'>>(), command: words }),
    ),
  )
}

function addSubmit(program: Command, act: Act): void {
  const command = program
    .command('submit')
    .description('submit a job and print its id')
    .argument('<command...>', 'what to run; everything behind -- belongs to it')
    .passThroughOptions()
  addJobFlags(command)
  addConnection(command).action((words: string[]) =>
    act(async (io) =>
      (await import('./submit.ts')).submit(io, { ...command.opts<Omit<SubmitFlags, 'command'>>(), command: words }),
    ),
  )
}

function addLogs(program: Command, act: Act): void {
  const command = program
    .command('logs')
    .description("print a job's output as raw bytes")
    .argument('[job]', 'id or its unique beginning; without it the latest job')
    .addHelpText(
      'after',
      `
Both streams of the latest attempt are printed, stdout to stdout and stderr to stderr. An offset means one stream:
--from alone takes stdout. With -f it follows on across retries and ends with the job's exit code.`,
    )
  flag(command, '-f, --follow', { says: "go on to the job's end", variable: 'POND_LOGS_FOLLOW' })
  flag(command, '--attempt <n>', { says: 'only this attempt', variable: 'POND_LOGS_ATTEMPT', parse: asCount(1) })
  flag(command, '--from <offset>', { says: 'begin at this byte', variable: 'POND_LOGS_FROM', parse: asCount(0) })
  flag(command, '-n, --tail <lines>', {
    says: 'begin so many lines before the end',
    variable: 'POND_LOGS_TAIL',
    parse: asCount(0),
  })
  flag(command, '-t, --timestamps', {
    says: 'when the worker read it, in front of each line',
    variable: 'POND_LOGS_TIMESTAMPS',
  })
  flag(command, '--stderr', { says: 'only stderr', variable: 'POND_LOGS_STDERR' })
  flag(command, '--stream <name>', {
    says: 'only this one',
    variable: 'POND_LOGS_STREAM',
    choices: ['stdout', 'stderr'],
  })
  addConnection(command).action((job?: string) =>
    act(async (io) =>
      (await import('./logs.ts')).logs(io, { ...command.opts<LogsFlags>(), ...(job === undefined ? {} : { job }) }),
    ),
  )
}

function addLists(program: Command, act: Act): void {
  const ps = program.command('ps').description('list the jobs that have not ended')
  flag(ps, '-a, --all', { says: 'also those that ended', variable: 'POND_PS_ALL' })
  flag(ps, '--state <state>', { says: 'only those in this state', variable: 'POND_PS_STATE', choices: states })
  flag(ps, '--array <job>', { says: 'the elements of this array that have begun', variable: 'POND_PS_ARRAY' })
  flag(ps, '--label <key=value>', { says: 'only those with this label', variable: 'POND_PS_LABEL' })
  flag(ps, '--limit <n>', {
    says: 'at most so many',
    variable: 'POND_PS_LIMIT',
    parse: asCount(1, LIST_MOST),
    initial: LIST_DEFAULT,
  })
  addConnection(ps).action(() => act(async (io) => (await import('./ps.ts')).ps(io, ps.opts<PsFlags>())))

  const ofJob = (name: string, says: string) =>
    addConnection(
      program
        .command(name)
        .description(says)
        .argument('[job]', 'id or its unique beginning; without it the latest job'),
    )
  const show = ofJob('show', 'show a job with its transitions, attempts and streams')
  show.action((job?: string) => act(async (io) => (await import('./show.ts')).show(io, withJob(show, job))))
  const why = ofJob('why', 'say what a job waits for, worker by worker, or how its end is known')
  why.action((job?: string) => act(async (io) => (await import('./why.ts')).why(io, withJob(why, job))))
  const cancel = ofJob('cancel', 'end a job, or all with a label')
  flag(cancel, '--label <key=value>', {
    says: 'every job with this label that has not ended',
    variable: 'POND_CANCEL_LABEL',
  })
  cancel.action((job?: string) => act(async (io) => (await import('./cancel.ts')).cancel(io, withJob(cancel, job))))
  const adopt = ofJob('adopt', 'take a result that came after pond had given its attempt up; the end of the job stands')
  flag(adopt, '--attempt <n>', {
    says: 'which attempt, when several came late',
    variable: 'POND_ADOPT_ATTEMPT',
    parse: asCount(1),
  })
  adopt.action((job?: string) => act(async (io) => (await import('./adopt.ts')).adopt(io, withJob(adopt, job))))
  const result = ofJob('result', 'print the JSON that a job wrote to $POND_RESULT')
  result.action((job?: string) => act(async (io) => (await import('./result.ts')).result(io, withJob(result, job))))
}

function addDead(program: Command, act: Act): void {
  const dead = program.command('dead').description('jobs that failed or expired, and that nobody replayed or dismissed')
  const ls = dead.command('ls').description('list them, latest first; elements of arrays each by themselves')
  flag(ls, '--cause <cause>', { says: 'only those that ended for it', variable: 'POND_DEAD_CAUSE' })
  flag(ls, '--label <key=value>', { says: 'only those with this label', variable: 'POND_DEAD_LABEL' })
  flag(ls, '--array <job>', { says: 'only elements of this array', variable: 'POND_DEAD_ARRAY' })
  flag(ls, '--limit <n>', {
    says: 'at most so many',
    variable: 'POND_DEAD_LIMIT',
    parse: asCount(1, LIST_MOST),
    initial: LIST_DEFAULT,
  })
  addConnection(ls).action(() => act(async (io) => (await import('./dead.ts')).listDead(io, ls.opts<DeadListFlags>())))
  const rm = addConnection(
    dead
      .command('rm')
      .description('take one out of the list without running it')
      .argument('<job>', 'id or its unique beginning'),
  )
  rm.action((job: string) =>
    act(async (io) => (await import('./dead.ts')).removeDead(io, { ...rm.opts<ConnectionFlags>(), job })),
  )
  const replay = program
    .command('replay')
    .description('run a job that ended once more, as a new job; or all dead letters that match')
    .argument('[job]', 'id or its unique beginning; without it the latest job')
  flag(replay, '--cause <cause>', { says: 'dead letters that ended for it', variable: 'POND_REPLAY_CAUSE' })
  flag(replay, '--label <key=value>', { says: 'dead letters with this label', variable: 'POND_REPLAY_LABEL' })
  flag(replay, '--array <job>', { says: 'elements of this array', variable: 'POND_REPLAY_ARRAY' })
  flag(replay, '--most <n>', {
    says: 'at most so many (1000)',
    variable: 'POND_REPLAY_MOST',
    parse: asCount(1, REPLAYS_MOST),
  })
  addConnection(replay).action((job?: string) =>
    act(async (io) =>
      (await import('./replay.ts')).replay(io, {
        ...replay.opts<ReplayFlags>(),
        ...(job === undefined ? {} : { job }),
      }),
    ),
  )
}

function addArtifacts(program: Command, act: Act): void {
  const artifacts = program.command('artifacts').description('the files that a job left')
  const attempt = { says: 'of this attempt', variable: 'POND_ARTIFACTS_ATTEMPT', parse: asCount(1) }
  const ls = artifacts
    .command('ls')
    .description('list them')
    .argument('[job]', 'id or its unique beginning; without it the latest job')
  flag(ls, '--attempt <n>', attempt)
  addConnection(ls).action((job?: string) =>
    act(async (io) => (await import('./artifacts.ts')).listArtifacts(io, withJob(ls, job))),
  )
  const get = artifacts
    .command('get')
    .description('fetch them; what is there in part is completed')
    .argument('[job]', 'id or its unique beginning; without it the latest job')
    .argument('[path...]', 'only these')
  flag(get, '--attempt <n>', attempt)
  flag(get, '--out <dir>', { says: 'folder to put them into', variable: 'POND_ARTIFACTS_OUT', initial: '.' })
  addConnection(get).action((job: string | undefined, paths: string[]) =>
    act(async (io) =>
      (await import('./artifacts.ts')).getArtifacts(io, {
        ...get.opts<Omit<GetFlags, 'paths'>>(),
        paths,
        ...(job === undefined ? {} : { job }),
      }),
    ),
  )
  const verify = program
    .command('verify')
    .description("what a worker's signed statement proves about a job")
    .argument('[what]', 'a job, or a file that --save wrote; without it the latest job')
  flag(verify, '--worker-key <key>', {
    says: 'the key that must have signed (swarm keys)',
    variable: 'POND_VERIFY_WORKER_KEY',
  })
  flag(verify, '--attempt <n>', { says: 'of this attempt', variable: 'POND_VERIFY_ATTEMPT', parse: asCount(1) })
  flag(verify, '--save <file>', { says: 'keep the statement', variable: 'POND_VERIFY_SAVE' })
  addConnection(verify).action((what?: string) =>
    act(async (io) =>
      (await import('./verify.ts')).verify(io, {
        ...verify.opts<VerifyFlags>(),
        ...(what === undefined ? {} : { what }),
      }),
    ),
  )
}

function withJob(command: Command, job: string | undefined): ConnectionFlags & { readonly job?: string } {
  return { ...command.opts<ConnectionFlags>(), ...(job === undefined ? {} : { job }) }
}

function addIdentity(program: Command, act: Act): void {
  const workers = addConnection(program.command('workers').description('list the workers that serve the project'))
  workers.action(() => act(async (io) => (await import('./workers.ts')).workers(io, workers.opts<ConnectionFlags>())))
  const usage = program.command('usage').description('what the project used, day by day, and how its quotas stand')
  flag(usage, '--days <n>', {
    says: 'today and the days before it (7)',
    variable: 'POND_USAGE_DAYS',
    parse: asCount(1, USAGE_DAYS_MOST),
  })
  addConnection(usage).action(() => act(async (io) => (await import('./usage.ts')).usage(io, usage.opts<UsageFlags>())))
  const whoami = addConnection(
    program.command('whoami').description('tell which pond and token are used, and what the token may do'),
  )
  whoami.action(() => act(async (io) => (await import('./whoami.ts')).whoami(io, whoami.opts<ConnectionFlags>())))
  const login = addConnection(
    program.command('login').description("keep a pond's URL and token for later").argument('<pond>', "pond's base URL"),
  )
  login.action((pond: string) =>
    act(async (io) => (await import('./login.ts')).login(io, { ...login.opts<ConnectionFlags>(), pond })),
  )
}
