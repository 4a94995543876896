// The flags of a job, for `run` and for `submit`.
import type { Command } from 'commander'
import type { Sandbox } from '../../protocol/field.ts'
import { limit } from '../../protocol/limit.ts'
import { asCount, asDuration, asList, asNumber, asPairs, asSize, flag } from '../flag.ts'
import { asConditions, conditionForms } from '../label-condition.ts'
import type { JobFlags } from './job-spec.ts'

const JOB_GROUP = 'The job:'

/** `run` and `submit` share their variables; without the verb in the name some would be those that a job is given. */
function jobVariable(name: keyof JobFlags | 'idempotencyKey' | 'patience'): string {
  return `POND_RUN_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

export function addJobFlags(command: Command): void {
  const group = JOB_GROUP
  flag(command, '-e, --env <name=value>', {
    says: 'a variable for the job, repeatable',
    variable: jobVariable('env'),
    parse: asPairs,
    group,
  })
  flag(command, '-l, --label <key=value>', {
    says: 'a label, repeatable',
    variable: jobVariable('label'),
    parse: asPairs,
    group,
  })
  flag(command, '--priority <0-9>', {
    says: '9 goes first',
    variable: jobVariable('priority'),
    parse: asCount(0, 9),
    group,
  })
  flag(command, '--timeout <duration>', {
    says: 'end it when it runs longer',
    variable: jobVariable('timeout'),
    parse: asDuration,
    group,
  })
  flag(command, '--ttl <duration>', {
    says: 'give up when it waits longer',
    variable: jobVariable('ttl'),
    parse: asDuration,
    group,
  })
  flag(command, '--idempotent', { says: 'running it twice does no harm', variable: jobVariable('idempotent'), group })
  flag(command, '--on-lost <what>', {
    says: 'when its worker is lost',
    variable: jobVariable('onLost'),
    choices: ['fail', 'rerun', 'hold'],
    group,
  })
  flag(command, '--hold <duration>', {
    says: 'how long to wait for a lost worker, with --on-lost hold',
    variable: jobVariable('hold'),
    parse: asDuration,
    group,
  })
  flag(command, '--retry <n>', {
    says: 'at most so many attempts in all',
    variable: jobVariable('retry'),
    parse: asCount(1),
    group,
  })
  flag(command, '--retry-on <cause>', {
    says: 'a cause that is tried again, repeatable',
    variable: jobVariable('retryOn'),
    parse: asList,
    group,
  })
  addOrderFlags(command)
  addContentFlags(command)
  addNeedFlags(command)
  addPrivacyFlags(command)
  addSubmitFlags(command)
}

/** How it is handed in. */
function addSubmitFlags(command: Command): void {
  flag(command, '--idempotency-key <key>', {
    says: 'submit at most once under this key',
    variable: jobVariable('idempotencyKey'),
  })
  flag(command, '--patience <duration>', {
    says: 'how long to try to submit (10s while pond is away; a full quota is waited for)',
    variable: jobVariable('patience'),
    parse: asDuration,
  })
}

/** Who may read what it says and what it takes along. */
function addPrivacyFlags(command: Command): void {
  const group = 'Who may read it:'
  flag(command, '--plain', {
    says: 'pond too: output is not sealed',
    variable: 'POND_PLAIN',
    group,
  })
  flag(command, '--recipient <key>', {
    says: 'this one too (pond_recipient_…), repeatable',
    variable: jobVariable('recipient'),
    parse: asList,
    group,
  })
  flag(command, '--seal-to <worker>', {
    says: 'the bundle, to this trusted worker and not to pond, repeatable',
    variable: 'POND_SEAL_TO',
    parse: asList,
    group,
  })
  flag(command, '--sign', {
    says: 'sign the job; done by itself where what it names needs it',
    variable: jobVariable('sign'),
    group,
  })
}

/** What a job takes along and leaves behind. */
function addContentFlags(command: Command): void {
  const group = JOB_GROUP
  flag(command, '--stream-limit <size>', {
    says: 'bytes kept of stdout and of stderr',
    variable: jobVariable('streamLimit'),
    parse: asSize,
    group,
  })
  flag(command, '--input <file>', { says: 'text for its stdin, - for ours', variable: jobVariable('input'), group })
  flag(command, '--credential <name>', {
    says: 'a credential of the project',
    variable: jobVariable('credential'),
    group,
  })
  flag(command, '--bundle <dir>', {
    says: 'files to send along, or the digest of a bundle',
    variable: jobVariable('bundle'),
    group,
  })
  flag(command, '--artifact <glob>', {
    says: 'files to bring back, repeatable',
    variable: jobVariable('artifact'),
    parse: asList,
    group,
  })
}

/** When it may start. */
function addOrderFlags(command: Command): void {
  flag(command, '--after <job>', {
    says: 'start when that one succeeded, and fail if it does not; repeatable',
    variable: jobVariable('after'),
    parse: asList,
    group: JOB_GROUP,
  })
  flag(command, '--after-end <job>', {
    says: 'start when that one ended, however; repeatable',
    variable: jobVariable('afterEnd'),
    parse: asList,
    group: JOB_GROUP,
  })
  flag(command, '--count <n>', {
    says: 'so many of it as one array; each sees its place in POND_ARRAY_INDEX, from 0',
    variable: jobVariable('count'),
    parse: asCount(1, limit.arrayMost),
    group: JOB_GROUP,
  })
  flag(command, '--max-parallel <n>', {
    says: 'of an array, at most so many at a time',
    variable: jobVariable('maxParallel'),
    parse: asCount(1, limit.arrayMost),
    group: JOB_GROUP,
  })
}

/** Of `process.platform` and `process.arch`, as Node's manual lists them: a worker tells its own, and what is spelled otherwise would fit nowhere. */
const systems = ['linux', 'darwin', 'win32', 'freebsd', 'openbsd', 'aix', 'android', 'sunos'] as const
const processors = ['x64', 'arm64', 'arm', 'ia32', 'loong64', 'mips', 'mipsel', 'ppc64', 'riscv64', 's390x'] as const
const walls = ['uid', 'bubblewrap', 'none'] as const satisfies readonly Sandbox[]

/** It comes to no worker that lacks any of it, and holds what can be held until it ends. */
function addNeedFlags(command: Command): void {
  const group = 'What its worker must have:'
  flag(command, '--require <label>', {
    says: `a label: ${conditionForms}, repeatable`,
    variable: jobVariable('require'),
    parse: asConditions,
    group,
  })
  flag(command, '--cpus <n>', {
    says: 'so many cores of its own',
    variable: jobVariable('cpus'),
    parse: asNumber,
    group,
  })
  flag(command, '--memory <size>', {
    says: 'so much memory of its own',
    variable: jobVariable('memory'),
    parse: asSize,
    group,
  })
  flag(command, '--disk <size>', {
    says: 'so much disk of its own, for its folder',
    variable: jobVariable('disk'),
    parse: asSize,
    group,
  })
  flag(command, '--gpus <n>', {
    says: 'so many GPUs of its own, which are all that it sees',
    variable: jobVariable('gpus'),
    parse: asCount(1, 64),
    group,
  })
  flag(command, '--gpu-model <text>', { says: 'part of its name, as A100', variable: jobVariable('gpuModel'), group })
  flag(command, '--gpu-memory <size>', {
    says: 'the least memory of each',
    variable: jobVariable('gpuMemory'),
    parse: asSize,
    group,
  })
  flag(command, '--os <name>', {
    says: 'linux, darwin or another that Node knows',
    variable: jobVariable('os'),
    choices: systems,
    group,
  })
  flag(command, '--arch <name>', {
    says: 'x64, arm64 or another that Node knows',
    variable: jobVariable('arch'),
    choices: processors,
    group,
  })
  flag(command, '--sandbox <kind>', {
    says: 'what keeps its jobs apart',
    variable: jobVariable('sandbox'),
    choices: walls,
    group,
  })
}
