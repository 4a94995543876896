// The operator's verbs as a commander tree: words, flags, help. Each verb is loaded when it runs.
import type { Command } from 'commander'
import { limit } from '../../protocol/limit.ts'
import { defaultWeight } from '../../state/share.ts'
import type { ConnectionFlags } from '../config.ts'
import { addConnection } from '../consumer/program.ts'
import { asCount, asDuration, asDurationWithin, asList, asSize, flag } from '../flag.ts'
import type { Act } from '../main.ts'
import type { ServeFlags as BindingServeFlags } from './binding.ts'
import type { CreateEnrollmentFlags } from './enrollment.ts'
import type { CreateKeyFlags } from './key.ts'
import { addLabelFlags } from './label-flag.ts'
import type { CreatePairingFlags } from './pairing.ts'
import type { QuotaFlags } from './quota.ts'

const AUDIT_DEFAULT = 50

export function addOperatorVerbs(program: Command, act: Act): void {
  program.commandsGroup('Operating a pond:')
  addProject(program, act)
  addKey(program, act)
  addPairing(program, act)
  addBinding(program, act)
  addEnrollment(program, act)
  addWorker(program, act)
  addPondKey(program, act)
  addAudit(program, act)
  addStats(program, act)
}

function addProject(program: Command, act: Act): void {
  const project = program.command('project').description('projects own jobs and keys')
  const create = project.command('create').description('create a project').argument('<name>')
  flag(create, '--weight <n>', {
    says: `its part of machines that serve several projects (${defaultWeight})`,
    variable: 'POND_PROJECT_WEIGHT',
    parse: asCount(1, limit.weightMost),
  })
  addConnection(create).action((name: string) =>
    act(async (io) =>
      (await import('./project.ts')).createProject(io, {
        ...create.opts<ConnectionFlags & { weight?: number }>(),
        name,
      }),
    ),
  )
  const weight = addConnection(
    project
      .command('weight')
      .description('set the part of a project of machines that serve several')
      .argument('<project>')
      .argument('<weight>', `usually ${defaultWeight}`, asCount(1, limit.weightMost)),
  )
  weight.action((name: string, value: number) =>
    act(async (io) =>
      (await import('./project.ts')).weighProject(io, {
        ...weight.opts<ConnectionFlags>(),
        ...{ project: name, weight: value },
      }),
    ),
  )
  const ls = addConnection(project.command('ls').description('list the projects'))
  ls.action(() => act(async (io) => (await import('./project.ts')).listProjects(io, ls.opts<ConnectionFlags>())))
  const pause = project
    .command('pause')
    .description('hand out none of its jobs; they are still taken in')
    .argument('<name>')
  addStopFlags(pause, 'POND_PROJECT')
  addConnection(pause).action((name: string) =>
    act(async (io) => (await import('./project.ts')).pauseProject(io, { ...pause.opts<ConnectionFlags>(), name })),
  )
  const resume = addConnection(project.command('resume').description('hand out its jobs again').argument('<name>'))
  resume.action((name: string) =>
    act(async (io) => (await import('./project.ts')).resumeProject(io, { ...resume.opts<ConnectionFlags>(), name })),
  )
  addQuota(project, act)
}

function addQuota(project: Command, act: Act): void {
  const quota = project
    .command('quota')
    .description('limit what a project may use, and show what stands')
    .argument('<project>', 'id or name')
    .addHelpText('after', '\nWhat is not named stays as it is. A day is a day of UTC.')
  const counts = [
    ['--queued <n>', 'jobs that wait', 1],
    ['--running <n>', 'jobs that run at once', 1],
    ['--submits-per-minute <n>', 'jobs submitted a minute; so many may come together', 1],
    ['--cpu-seconds-per-day <n>', 'CPU time of the attempts that end in a day', 1],
    ['--priority-most <n>', 'the highest priority that its jobs may ask for', 0],
  ] as const
  for (const [flags, says, least] of counts) {
    const variable = `POND_QUOTA_${flags.slice(2, flags.indexOf(' ')).toUpperCase().replaceAll('-', '_')}`
    flag(quota, flags, { says, variable, parse: asCount(least, least === 0 ? 9 : undefined) })
  }
  flag(quota, '--output-per-day <size>', {
    says: 'streams and artifacts of the attempts that end in a day',
    variable: 'POND_QUOTA_OUTPUT_PER_DAY',
    parse: asSize,
  })
  flag(quota, '--none <name>', {
    says: 'take this limit away, repeatable: queued, running, submits-per-minute, …',
    variable: 'POND_QUOTA_NONE',
    parse: asList,
  })
  flag(quota, '--clear', { says: 'take all limits away', variable: 'POND_QUOTA_CLEAR' })
  addConnection(quota).action((name: string) =>
    act(async (io) => (await import('./quota.ts')).quota(io, { ...quota.opts<Omit<QuotaFlags, 'name'>>(), name })),
  )
}

function addKey(program: Command, act: Act): void {
  const key = program.command('key').description('tokens of consumers and operators')
  const create = key.command('create').description('create a token and print it, this once')
  flag(create, '--admin', { says: 'an admin token instead of a project key', variable: 'POND_KEY_ADMIN' })
  flag(create, '--name <name>', { says: 'what to call it', variable: 'POND_KEY_NAME' })
  flag(create, '--scope <scope>', {
    says: 'submit, read or credentials, repeatable',
    variable: 'POND_KEY_SCOPE',
    parse: asList,
  })
  flag(create, '--expires <duration>', {
    says: 'how long it is valid',
    variable: 'POND_KEY_EXPIRES',
    parse: asDuration,
  })
  addConnection(create).action(() =>
    act(async (io) => (await import('./key.ts')).createKey(io, create.opts<CreateKeyFlags>())),
  )
  const list = addConnection(key.command('ls').description('list keys; tokens are never shown again'))
  list.action(() => act(async (io) => (await import('./key.ts')).listKeys(io, list.opts<ConnectionFlags>())))
  const revoke = addConnection(key.command('revoke').description('end a token at once').argument('<id>'))
  revoke.action((id: string) =>
    act(async (io) => (await import('./key.ts')).revokeKey(io, { ...revoke.opts<ConnectionFlags>(), id })),
  )
}

function addPairing(program: Command, act: Act): void {
  const pairing = program.command('pairing').description('codes that let a machine pair')
  const create = pairing.command('create').description('create a code and print the line to type on the machine')
  flag(create, '--uses <n>', {
    says: 'how many machines may use it (1)',
    variable: 'POND_PAIRING_USES',
    parse: asCount(1, 1000),
  })
  flag(create, '--expires <duration>', {
    says: 'how long it is valid (10m)',
    variable: 'POND_PAIRING_EXPIRES',
    parse: asDuration,
  })
  addLabelFlags(create, { whose: 'the workers', prefix: 'POND_PAIRING' })
  flag(create, '--ephemeral', {
    says: 'forget the machine when its swarm ends, or is gone for minutes (the last of a pond: for a day)',
    variable: 'POND_PAIRING_EPHEMERAL',
  })
  flag(create, '--fingerprint <fingerprint>', {
    says: 'of the only worker keys that may use it',
    variable: 'POND_PAIRING_FINGERPRINT',
  })
  addLadder(create, 'POND_PAIRING')
  addConnection(create).action(() =>
    act(async (io) => (await import('./pairing.ts')).createPairing(io, create.opts<CreatePairingFlags>())),
  )
  const ls = addConnection(pairing.command('ls').description('list the codes that can still be used'))
  ls.action(() => act(async (io) => (await import('./pairing.ts')).listPairings(io, ls.opts<ConnectionFlags>())))
  const revoke = addConnection(pairing.command('revoke').description('take a code back').argument('<id>'))
  revoke.action((id: string) =>
    act(async (io) => (await import('./pairing.ts')).revokePairing(io, { ...revoke.opts<ConnectionFlags>(), id })),
  )
}

function addBinding(program: Command, act: Act): void {
  const binding = program.command('binding').description('the machines that have paired')
  const ls = addConnection(binding.command('ls').description('list the bindings'))
  ls.action(() => act(async (io) => (await import('./binding.ts')).listBindings(io, ls.opts<ConnectionFlags>())))
  const show = addConnection(binding.command('show').description('show a binding').argument('<binding>', 'id or name'))
  show.action((name: string) =>
    act(async (io) =>
      (await import('./binding.ts')).showBinding(io, { ...show.opts<ConnectionFlags>(), binding: name }),
    ),
  )
  const serve = binding
    .command('serve')
    .description('say whose jobs a machine takes behind those of its own project')
    .argument('<binding>', 'id or name')
    .addHelpText(
      'after',
      '\nWho is not named is served no longer; without a flag that is everybody but its own project.',
    )
  addLadder(serve, 'POND_BINDING')
  addConnection(serve).action((name: string) =>
    act(async (io) =>
      (await import('./binding.ts')).serveOthers(io, { ...serve.opts<BindingServeFlags>(), binding: name }),
    ),
  )
  const orders = {
    cordon: { run: 'cordonBinding', says: 'give its workers nothing new; what they run goes on, and they stay' },
    uncordon: { run: 'uncordonBinding', says: 'take its cordon back' },
    drain: { run: 'drainBinding', says: 'drain all its workers at once' },
    revoke: { run: 'revokeBinding', says: 'shut a machine out at once; its claims are lost' },
  } as const
  for (const [verb, { run, says }] of Object.entries(orders)) {
    const command = binding.command(verb).description(says).argument('<binding>', 'id or name')
    if (verb === 'cordon') addStopFlags(command, 'POND_BINDING')
    if (verb === 'drain') addDrainFlags(command, 'POND_BINDING')
    addConnection(command).action((name: string) =>
      act(async (io) => (await import('./binding.ts'))[run](io, { ...command.opts<ConnectionFlags>(), binding: name })),
    )
  }
}

function addStopFlags(command: Command, variable: string): void {
  flag(command, '--for <duration>', {
    says: 'end it by itself after this; without it somebody has to',
    variable: `${variable}_FOR`,
    parse: asDurationWithin(1000, limit.stopMostMs),
  })
  flag(command, '--note <text>', { says: 'why, for whoever wonders', variable: `${variable}_NOTE` })
}

function addDrainFlags(command: Command, variable: string): void {
  flag(command, '--deadline <duration>', {
    says: 'stop what is not done by then; it may run again elsewhere',
    variable: `${variable}_DEADLINE`,
    parse: asDuration,
  })
  flag(command, '--note <text>', { says: 'why, for the owner of the machine', variable: `${variable}_NOTE` })
}

/** Whom a machine serves beside its own project. */
function addLadder(command: Command, variables: string): void {
  flag(command, '--friend <project>', {
    says: 'take its jobs when the own project has none to give, repeatable',
    variable: `${variables}_FRIEND`,
    parse: asList,
  })
  flag(command, '--public', {
    says: "take everybody's jobs when neither it nor its friends have any",
    variable: `${variables}_PUBLIC`,
  })
}

function addEnrollment(program: Command, act: Act): void {
  const enrollment = program.command('enrollment').description('codes that let one more worker join a binding')
  const create = enrollment
    .command('create')
    .description('create a code and print the line to type for the worker')
    .argument('<binding>', 'id or name')
  flag(create, '--expires <duration>', {
    says: 'how long it is valid (10m)',
    variable: 'POND_ENROLLMENT_EXPIRES',
    parse: asDuration,
  })
  addLabelFlags(create, { whose: 'the worker', prefix: 'POND_ENROLLMENT' })
  flag(create, '--fingerprint <fingerprint>', {
    says: 'of the only worker keys that may use it',
    variable: 'POND_ENROLLMENT_FINGERPRINT',
  })
  addConnection(create).action((binding: string) =>
    act(async (io) =>
      (await import('./enrollment.ts')).createEnrollment(io, { ...create.opts<CreateEnrollmentFlags>(), binding }),
    ),
  )
  const ls = addConnection(enrollment.command('ls').description('list the codes that can still be used'))
  ls.action(() => act(async (io) => (await import('./enrollment.ts')).listEnrollments(io, ls.opts<ConnectionFlags>())))
  const revoke = addConnection(enrollment.command('revoke').description('take a code back').argument('<id>'))
  revoke.action((id: string) =>
    act(async (io) =>
      (await import('./enrollment.ts')).revokeEnrollment(io, { ...revoke.opts<ConnectionFlags>(), id }),
    ),
  )
}

function addWorker(program: Command, act: Act): void {
  const worker = program.command('worker').description('the workers of every project')
  const ls = addConnection(worker.command('ls').description('list the workers of every project'))
  ls.action(() => act(async (io) => (await import('./worker.ts')).listAllWorkers(io, ls.opts<ConnectionFlags>())))
  const drain = worker
    .command('drain')
    .description('give a worker nothing more; it finishes what it has and leaves')
    .argument('<worker>', 'id or name')
    .addHelpText('after', '\nIt takes jobs again when its swarm heard of this, left, and is started again.')
  addDrainFlags(drain, 'POND_WORKER')
  addConnection(drain).action((name: string) =>
    act(async (io) =>
      (await import('./worker.ts')).drainWorker(io, { ...drain.opts<ConnectionFlags>(), worker: name }),
    ),
  )
  const verbs = {
    cordon: { run: 'cordonWorker', says: 'give a worker nothing new; what it runs goes on, and it stays' },
    uncordon: { run: 'uncordonWorker', says: 'take its cordon back' },
    show: { run: 'showWorker', says: 'show a worker and its keys' },
    resume: { run: 'resumeWorker', says: 'take a drain back' },
    reinstate: { run: 'reinstateWorker', says: 'end the quarantine of a worker; its pinned keys stay' },
    revoke: { run: 'revokeWorker', says: 'shut a worker out at once; its claims are lost' },
  } as const
  for (const [verb, { run, says }] of Object.entries(verbs)) {
    const command = worker.command(verb).description(says).argument('<worker>', 'id or name')
    if (verb === 'cordon') addStopFlags(command, 'POND_WORKER')
    addConnection(command).action((name: string) =>
      act(async (io) => (await import('./worker.ts'))[run](io, { ...command.opts<ConnectionFlags>(), worker: name })),
    )
  }
}

function addPondKey(program: Command, act: Act): void {
  const pondKey = program.command('pond-key').description("pond's own keys")
  const rotate = addConnection(
    pondKey
      .command('rotate')
      .description('make new keys, signed by the old ones; takes back the codes that were printed'),
  )
  rotate.action(() =>
    act(async (io) => (await import('./pond-key.ts')).rotatePondKey(io, rotate.opts<ConnectionFlags>())),
  )
}

function addAudit(program: Command, act: Act): void {
  const audit = program.command('audit').description('who did what')
  const ls = audit.command('ls').description('list the audit log, newest first')
  flag(ls, '--limit <n>', {
    says: 'at most so many',
    variable: 'POND_AUDIT_LIMIT',
    parse: asCount(1, 1000),
    initial: AUDIT_DEFAULT,
  })
  addConnection(ls).action(() =>
    act(async (io) => (await import('./audit.ts')).listAudit(io, ls.opts<ConnectionFlags & { limit: number }>())),
  )
}

function addStats(program: Command, act: Act): void {
  const stats = program.command('stats').description('what waits and runs on the whole pond, and how long it took')
  addConnection(stats).action(() =>
    act(async (io) => (await import('./stats.ts')).stats(io, stats.opts<ConnectionFlags>())),
  )
}
