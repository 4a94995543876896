// What the pool's verbs share: the home folder, its binding, and a client that speaks with the binding's token.
import { createClient } from '../../client/client.ts'
import type { Client } from '../../client/contract.ts'
import type { HttpNetwork } from '../../client/network.ts'
import { type Binding, type Home, openHome } from '../../orchestrator/home.ts'
import { type LiveBinding, openLiveBinding } from '../../orchestrator/live-binding.ts'
import { KeyFileError, requirePrivate } from '../../seal/identity.ts'
import { LockedError, systemDisk } from '../../system/disk.ts'
import { type Log, silentLog } from '../../system/log.ts'
import { checkUrl, clientHome, pondHome, poolHome, userHome } from '../config.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import type { PoolFlags } from './control.ts'

export interface BindingFlags extends PoolFlags {
  readonly insecureHttp?: boolean
}

export function openPoolHome(io: Io, flags: PoolFlags): Promise<Home> {
  return openHome(systemDisk, poolHome(io.env, flags.home))
}

/** The private keys of the workers, and the token: whoever else could read them may have. */
export async function requirePrivateHome({ bindingPath, keysPath }: Home): Promise<void> {
  for (const path of [bindingPath, keysPath]) await requireOwn(path)
}

async function requireOwn(path: string): Promise<void> {
  try {
    await requirePrivate(path)
  } catch (cause) {
    if (!(cause instanceof KeyFileError)) throw cause
    throw new Failure({
      what: 'could not use the keys of this swarm',
      why: cause.message,
      next: `Type: chmod 600 ${path}. If somebody may have read it, then: swarm keys rotate.`,
      cause,
    })
  }
}

export async function needBinding(home: Home): Promise<Binding> {
  await requirePrivateHome(home)
  const binding = await home.readBinding()
  if (binding) return binding
  throw new Failure({
    what: `${home.path} is not paired with a pond`,
    next: 'Ask the operator for a code (pond pairing create) and type: swarm pair URL#CODE.',
  })
}

/** The binding with its keys. */
export async function needLive(home: Home): Promise<LiveBinding> {
  await needBinding(home)
  const live = (await home.readKeys()) && (await openLiveBinding(home))
  if (live) return live
  throw new Failure({
    what: `the keys of ${home.path} are gone, and pond takes no call that they did not sign`,
    next: 'Pair this machine anew: swarm unpair --force, then swarm pair URL#CODE.',
  })
}

/** One swarm at a time may use a home: two would run each other's jobs and kill each other's trees. `next` is for whom that one is in the way of. */
export async function lockHome(
  home: Home,
  next = 'Look with swarm status, or use another --home.',
): Promise<() => Promise<void>> {
  try {
    return await home.lock()
  } catch (error) {
    if (!(error instanceof LockedError)) throw error
    throw new Failure({
      what: `a swarm already runs on ${home.path}`,
      why: `it is process ${error.pid}`,
      next,
      cause: error,
    })
  }
}

/** What every executor of this home is given. Homes and what else is the owner's are hidden from jobs where a sandbox can. */
export function executorParts(io: Io, { home, boxes }: { readonly home: string; readonly boxes?: string | undefined }) {
  const hidden = [userHome(io.env), clientHome(io.env), pondHome(io.env)]
  return { clock: io.clock, home, hidden, tools: io.env.PATH ?? '', ...(boxes === undefined ? {} : { place: boxes }) }
}

export interface BoundParts {
  readonly io: Io
  readonly network: HttpNetwork
  readonly binding: LiveBinding
  readonly flags: BindingFlags
  readonly log?: Log
}

export function connectBound({ io, network, binding, flags, log = silentLog }: BoundParts): Client {
  const insecureHttp = flags.insecureHttp === true
  return createClient({
    network: network.request,
    clock: io.clock,
    random: io.random,
    log,
    baseUrl: checkUrl(binding.now().pond, insecureHttp),
    token: binding.token,
    sign: binding.signCall,
    version: io.version,
    insecureHttp,
  })
}
