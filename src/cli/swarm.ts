// The program `swarm`: its whole tree of verbs. Nothing is run and nothing heavy is loaded until a verb is.
import { Command } from 'commander'
import { sandboxes, workerClasses } from '../protocol/field.ts'
import { addExamples, swarmExamples } from './example.ts'
import { asCount, asDuration, asList, asNumber, asPairs, asSize, flag } from './flag.ts'
import { type Act, noAct } from './main.ts'
import type { PoolFlags } from './pool/control.ts'
import type { DoctorFlags } from './pool/doctor.ts'
import type { BindingFlags } from './pool/home.ts'
import type { PairFlags } from './pool/pair.ts'
import type { RunFlags } from './pool/run.ts'
import type { WorkerAddFlags } from './pool/worker.ts'

export interface SwarmProgramParts {
  readonly act?: Act
  readonly version?: string
}

const SLOTS_MOST = 4096

export function createSwarmProgram({ act = noAct, version = '' }: SwarmProgramParts = {}): Command {
  const program = new Command('swarm')
    .description("Runs a pond's jobs on this machine. It dials pond; nobody needs to reach this machine.")
    .version(version)
  addPair(program, act)
  addRun(program, act)
  addOrders(program, act)
  addRules(program, act)
  addWorker(program, act)
  addKeys(program, act)
  addCare(program, act)
  return addExamples(program, swarmExamples)
}

function addHome(command: Command): Command {
  flag(command, '--home <dir>', { says: "swarm's own folder", variable: 'SWARM_HOME' })
  return flag(command, '--json', { says: 'print JSON with stable keys', variable: 'SWARM_JSON' })
}

function addBinding(command: Command): Command {
  flag(command, '--insecure-http', { says: 'allow http:// beyond this host', variable: 'SWARM_INSECURE_HTTP' })
  return addHome(command)
}

function addPair(program: Command, act: Act): void {
  const command = program
    .command('pair')
    .description('make this machine a worker of a pond')
    .argument('<code>', 'URL#CODE as pond printed it, or CODE with --pond, or - to read it')
  flag(command, '--pond <url>', { says: 'which pond, when the code does not say it', variable: 'SWARM_POND' })
  flag(command, '--name <name>', { says: 'what to call this machine (its host name)', variable: 'SWARM_NAME' })
  addLabels(command)
  flag(command, '--slots <n>', {
    says: 'jobs at a time (cores)',
    variable: 'SWARM_SLOTS',
    parse: asCount(1, SLOTS_MOST),
  })
  flag(command, '--class <class>', {
    says: 'how long pond waits for it when it is silent: a server 90 s, a laptop 15 min (laptop where there is a battery)',
    variable: 'SWARM_CLASS',
    choices: workerClasses,
  })
  flag(command, '-y, --yes', { says: 'do not ask', variable: 'SWARM_YES' })
  addBinding(command).action((code: string) =>
    act(async (io) => (await import('./pool/pair.ts')).pair(io, { ...command.opts<Omit<PairFlags, 'code'>>(), code })),
  )
}

function addLabels(command: Command): void {
  flag(command, '--label <key=value>', {
    says: 'a label that the code lets it choose, repeatable',
    variable: 'SWARM_LABEL',
    parse: asPairs,
  })
  flag(command, '--without-label <key>', {
    says: 'be without a label that the code gives, repeatable',
    variable: 'SWARM_WITHOUT_LABEL',
    parse: asList,
  })
}

function addRun(program: Command, act: Act): void {
  const command = program
    .command('run')
    .description('take jobs and run them')
    .addHelpText('after', '\nSIGTERM or Ctrl-C drains, a second one cancels all jobs, a third one kills them.')
  flag(command, '--slots <n>', {
    says: 'jobs at a time (as paired)',
    variable: 'SWARM_SLOTS',
    parse: asCount(1, SLOTS_MOST),
  })
  flag(command, '--cpus <n>', { says: 'cores for its jobs (all)', variable: 'SWARM_CPUS', parse: asNumber })
  flag(command, '--memory <size>', { says: 'memory for its jobs (all)', variable: 'SWARM_MEMORY', parse: asSize })
  flag(command, '--disk <size>', {
    says: 'disk for the folders of its jobs (what is free at the start, but for 1 GiB or min_free_disk_bytes)',
    variable: 'SWARM_DISK',
    parse: asSize,
  })
  flag(command, '--gpu <uuid>', {
    says: 'a GPU for its jobs, or none; repeatable (all)',
    variable: 'SWARM_GPU',
    parse: asList,
  })
  flag(command, '--class <class>', {
    says: 'server or laptop, for this run (as paired)',
    variable: 'SWARM_CLASS',
    choices: workerClasses,
  })
  flag(command, '--once', { says: 'take one job, then leave', variable: 'SWARM_ONCE' })
  flag(command, '--idle-exit <duration>', {
    says: 'leave after so long without a job',
    variable: 'SWARM_IDLE_EXIT',
    parse: asDuration,
  })
  flag(command, '--max-uptime <duration>', {
    says: 'drain and leave after so long',
    variable: 'SWARM_MAX_UPTIME',
    parse: asDuration,
  })
  flag(command, '--drain-deadline <duration>', {
    says: 'after SIGTERM, Ctrl-C or --max-uptime stop what is not done by then (never)',
    variable: 'SWARM_DRAIN_DEADLINE',
    parse: asDuration,
  })
  flag(command, '--sandbox <kind>', {
    says: 'insist on what keeps jobs apart, or go without (the best that this machine has)',
    variable: 'SWARM_SANDBOX',
    choices: sandboxes,
  })
  flag(command, '--allow-unsandboxed', {
    says: 'take confidential jobs without a sandbox',
    variable: 'SWARM_ALLOW_UNSANDBOXED',
  })
  flag(command, '--boxes <dir>', {
    says: 'where jobs have their folders when each is a user of its own (/var/lib/pond-swarm)',
    variable: 'SWARM_BOXES',
  })
  flag(command, '--signer <key>', {
    says: 'run only jobs signed by this key (pond_signer_…), repeatable',
    variable: 'SWARM_SIGNER',
    parse: asList,
  })
  addBinding(command).action(() => act(async (io) => (await import('./pool/run.ts')).run(io, command.opts<RunFlags>())))
}

function addOrders(program: Command, act: Act): void {
  const order = (name: 'status' | 'drain', says: string) => {
    const command = addHome(program.command(name).description(says))
    return command.action(() =>
      act(async (io) =>
        (await import('./pool/control.ts')).control(io, name, command.opts<PoolFlags & { deadline?: number }>()),
      ),
    )
  }
  order('status', 'show the running swarm and its jobs')
  flag(order('drain', 'finish the jobs at hand, then leave'), '--deadline <duration>', {
    says: 'end what is not done by then',
    variable: 'SWARM_DEADLINE',
    parse: asDuration,
  })
  const gate = (name: 'pause' | 'resume', says: string) => {
    const command = addHome(program.command(name).description(says))
    command.action(() => act(async (io) => (await import('./pool/rule.ts')).pause(io, name, command.opts<PoolFlags>())))
  }
  gate('pause', 'take no new jobs, after a restart neither')
  gate('resume', 'take jobs again')
}

function addRules(program: Command, act: Act): void {
  const rules = program
    .command('rules')
    .description('when this machine takes jobs, and which: the rules of its owner')
    .addHelpText('after', '\nWhile a rule is not met no new job comes; jobs that run go on.')
  const show = addHome(rules.command('show', { isDefault: true }).description('what each asks for, and what is now'))
  show.action(() => act(async (io) => (await import('./pool/rule.ts')).showRules(io, show.opts<PoolFlags>())))
  const set = addHome(rules.command('set').description('set rules; the others stay'))
    .argument('<name=value...>', 'lists are parted by ;')
    .addHelpText('after', RULE_HELP)
  set.action((settings: readonly string[]) =>
    act(async (io) => (await import('./pool/rule.ts')).setRules(io, { ...set.opts<PoolFlags>(), settings })),
  )
  const unset = addHome(rules.command('unset').description('take rules back')).argument('<rule...>', 'their names')
  unset.action((names: readonly string[]) =>
    act(async (io) => (await import('./pool/rule.ts')).unsetRules(io, { ...unset.opts<PoolFlags>(), rules: names })),
  )
}

const RULE_HELP = `
Rules:
  hours=mon-fri 18:00-08:00; sat,sun   when jobs are taken, in local time
  mains_only=true                      not on battery
  idle_minutes=10                      nobody typed at a terminal for so long; a desktop is not seen
  max_load=0.8                         one-minute load average a core, jobs included
  min_free_disk_bytes=20G              where swarm has its folder
  min_free_memory_bytes=4G
  projects=web; lab                    only these
  commands=python3*; nice -n 10        globs for the first word, or the first words; no wall: a shell runs anything
  paused=true                          as swarm pause`

function addWorker(program: Command, act: Act): void {
  const worker = program
    .command('worker')
    .description('further workers of this machine, each with slots and keys of its own')
  const add = worker
    .command('add')
    .description('add one by a code of the operator; takes effect when swarm runs again')
    .argument('<code>', 'as pond printed it, or - to read it')
  flag(add, '--name <name>', { says: 'what to call it', variable: 'SWARM_NAME' })
  addLabels(add)
  flag(add, '--slots <n>', { says: 'jobs at a time (1)', variable: 'SWARM_SLOTS', parse: asCount(1, SLOTS_MOST) })
  addBinding(add).action((code: string) =>
    act(async (io) =>
      (await import('./pool/worker.ts')).addWorker(io, { ...add.opts<Omit<WorkerAddFlags, 'code'>>(), code }),
    ),
  )
  const list = addHome(worker.command('ls').description('list them'))
  list.action(() => act(async (io) => (await import('./pool/worker.ts')).listWorkers(io, list.opts<BindingFlags>())))
}

function addKeys(program: Command, act: Act): void {
  const keys = program.command('keys').description('the keys of this machine and of its pond, for comparing by eye')
  const show = addHome(keys.command('show', { isDefault: true }).description('show them'))
  show.action(() => act(async (io) => (await import('./pool/key.ts')).showKeys(io, show.opts<BindingFlags>())))
  const rotate = addBinding(keys.command('rotate').description('make new keys, signed by the old ones'))
  rotate.action(() => act(async (io) => (await import('./pool/key.ts')).rotateKeys(io, rotate.opts<BindingFlags>())))
}

function addCare(program: Command, act: Act): void {
  const doctor = addBinding(program.command('doctor').description('look at everything a swarm needs'))
  flag(doctor, '--boxes <dir>', { says: 'as for swarm run', variable: 'SWARM_BOXES' })
  doctor.action(() => act(async (io) => (await import('./pool/doctor.ts')).doctor(io, doctor.opts<DoctorFlags>())))
  const unpair = program.command('unpair').description('leave the pond and forget the keys')
  flag(unpair, '--force', { says: 'forget even when pond cannot be told', variable: 'SWARM_FORCE' })
  addBinding(unpair).action(() =>
    act(async (io) => (await import('./pool/unpair.ts')).unpair(io, unpair.opts<BindingFlags & { force?: boolean }>())),
  )
}
