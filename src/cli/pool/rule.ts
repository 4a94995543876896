// swarm rules: what the owner of this machine asks for before it takes jobs, what of it is met now, and how it is changed.
import type { Binding, Home } from '../../orchestrator/home.ts'
import {
  judgeRules,
  type RuleName,
  type Rules,
  rules as rulesShape,
  type Verdict,
  whyClosed,
} from '../../orchestrator/rule.ts'
import { checkRules, openRuleFile, RulesError, withPaused } from '../../orchestrator/rule-file.ts'
import { systemDisk } from '../../system/disk.ts'
import { createMachine } from '../../system/machine.ts'
import { exitCode } from '../exit-code.ts'
import { Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { parseSize } from '../size.ts'
import { askSwarm, type PoolFlags } from './control.ts'
import { lockHome, openPoolHome } from './home.ts'

export async function showRules(io: Io, flags: PoolFlags): Promise<number> {
  const home = await openPoolHome(io, flags)
  await print(io, flags, { home, owner: await readRules(io, home) })
  return 0
}

/** `settings`: `hours=mon-fri 18:00-08:00`, `mains_only=true`. */
export async function setRules(io: Io, flags: PoolFlags & { readonly settings: readonly string[] }): Promise<number> {
  return await changeRules(io, flags, (before) => ({
    ...before,
    ...Object.fromEntries(flags.settings.map(parseSetting)),
  }))
}

export async function unsetRules(io: Io, flags: PoolFlags & { readonly rules: readonly string[] }): Promise<number> {
  const names = new Set(flags.rules.map(ruleName))
  return await changeRules(io, flags, (before) =>
    Object.fromEntries(Object.entries(before).filter(([name]) => !names.has(name as RuleName))),
  )
}

async function changeRules(io: Io, flags: PoolFlags, change: (before: Rules) => unknown): Promise<number> {
  const home = await openPoolHome(io, flags)
  const owner = await fileOf(io, home)
    .change((before) => check(change(before)))
    .catch((error: unknown) => {
      throw toRulesFailure(home, error)
    })
  // A swarm that runs would find it by itself a few seconds later.
  await askSwarm(io, { home: home.path, order: 'rules' }).catch(() => undefined)
  await print(io, flags, { home, owner })
  return 0
}

/** The running swarm keeps it; for one that does not run it is kept here, so that it starts like that. */
export async function pause(io: Io, order: 'pause' | 'resume', flags: PoolFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const home = await openPoolHome(io, flags)
  try {
    const status = await askSwarm(io, { home: home.path, order })
    await out.result(status, () => `${status.name} is ${status.state}`)
  } catch (error) {
    const binding = error instanceof Failure && error.exit === exitCode('unreachable') && (await home.readBinding())
    if (!binding) throw error
    // One that runs and hangs would not hear of what is written behind its back.
    const unlock = await lockHome(home)
    const paused = order === 'pause'
    await fileOf(io, home)
      .change(withPaused(paused))
      .catch((broken: unknown) => {
        throw toRulesFailure(home, broken)
      })
      .finally(unlock)
    const will = paused ? 'starts paused' : 'takes jobs when it starts'
    await out.result({ state: 'ended', name: binding.name, paused }, () => `${binding.name} does not run; it ${will}`)
  }
  return 0
}

const fileOf = ({ clock }: Io, home: Home) => openRuleFile({ disk: systemDisk, clock }, home.rulesPath)

async function readRules(io: Io, home: Home): Promise<Rules> {
  try {
    return await fileOf(io, home).read()
  } catch (error) {
    throw toRulesFailure(home, error)
  }
}

export function toRulesFailure({ rulesPath }: Pick<Home, 'rulesPath'>, error: unknown): unknown {
  if (!(error instanceof RulesError)) return error
  return new Failure({
    what: `could not use the rules in ${rulesPath}`,
    why: error.message,
    next: 'Mend that file, or remove it and set them anew: swarm rules set NAME=VALUE.',
    cause: error,
  })
}

function check(value: unknown): Rules {
  try {
    return checkRules(value)
  } catch (error) {
    if (error instanceof RulesError) throw usageFailure(error.message, 'Look at swarm rules set --help.')
    throw error
  }
}

const names = Object.keys(rulesShape.shape) as readonly RuleName[]

function ruleName(text: string): RuleName {
  const found = names.find((name) => name === text)
  if (found) return found
  throw usageFailure(`there is no rule ${JSON.stringify(text)}`, `The rules are ${names.join(', ')}.`)
}

function parseSetting(text: string): readonly [RuleName, unknown] {
  const at = text.indexOf('=')
  if (at < 1) throw usageFailure(`${JSON.stringify(text)} sets nothing`, 'Write NAME=VALUE, as in mains_only=true.')
  const name = ruleName(text.slice(0, at))
  return [name, parsers[name](text.slice(at + 1).trim())]
}

const asList = (text: string) => text.split(';').map((one) => one.trim())
/** What is neither is refused by the shape of the rules, which names the field. */
const asFlag = (text: string) => (text === 'true' ? true : text === 'false' ? false : text)
const asNumber = (text: string) => (text === '' ? text : Number(text))

const parsers: Readonly<Record<RuleName, (text: string) => unknown>> = {
  hours: asList,
  mains_only: asFlag,
  idle_minutes: asNumber,
  max_load: asNumber,
  min_free_disk_bytes: parseSize,
  min_free_memory_bytes: parseSize,
  projects: asList,
  // One word is a glob for the first word of a command, several are its first words.
  commands: (text) => asList(text).map((one) => (/\s/.test(one) ? one.split(/\s+/) : one)),
  paused: asFlag,
}

async function print(io: Io, flags: PoolFlags, { home, owner }: { readonly home: Home; readonly owner: Rules }) {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const binding: Binding | undefined = await home.readBinding()
  const facts = await createMachine({ now: io.clock.now }).facts()
  const freeDiskBytes = await systemDisk.freeBytes(home.path)
  const project = binding?.project ?? 'none: this machine is not paired'
  const verdicts = judgeRules(owner, { ...facts, freeDiskBytes, project }, io.clock.now())
  await out.list(verdicts, columns, '')
  const why = whyClosed(verdicts)
  if (!out.json && why !== undefined) await out.note(`no jobs are taken now: ${why}`)
}

const columns = [
  { title: 'RULE', cell: ({ rule }: Verdict) => rule },
  { title: 'NOW', cell: ({ open }: Verdict) => (open ? 'open' : 'closed') },
  { title: 'WANTS', cell: ({ wants }: Verdict) => wants },
  { title: 'IS', cell: ({ is }: Verdict) => is },
]
