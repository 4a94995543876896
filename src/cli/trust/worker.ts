// The keys of workers: pinned when they are first met, followed where the pinned ones signed the new ones, refused otherwise.
import type { WorkerView } from '../../protocol/consumer.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { SealError } from '../../seal/refusal.ts'
import { followWorkerKeys } from '../../seal/rotation.ts'
import { callFailure } from '../failure.ts'
import { ask, type Patience } from '../patience.ts'
import type { Session } from '../session.ts'
import { changeTrust, type PinnedWorker, type Trust } from './store.ts'

/** By Ed25519 key. */
type Pins = Readonly<Record<string, PinnedWorker>>

export interface WorkerPins {
  /** Asks pond for its workers, and follows those that have new keys. Through outages, where there is somebody who waits for it. */
  meet(patience?: Patience): Promise<void>
  /** Whether what this Ed25519 key signed is believed; pins the key of a worker that is met for the first time. */
  trusts(key: string): boolean
  /** Keeps what was pinned, and says so. */
  settle(): Promise<Trust>
}

export function createWorkerPins({ client, connection, io, out }: Session, trust: Trust): WorkerPins {
  const { url, home } = connection
  const strict = io.env.POND_TRUST === 'checked'
  let pins: Pins = trust.workers
  let workers: readonly WorkerView[] = []
  /** Pinned in memory, to be kept. */
  let fresh: Pins = {}
  const pin = (more: Pins) => {
    pins = merge(pins, more)
    fresh = merge(fresh, more)
  }
  const pinsOf = ({ id }: WorkerView) => Object.entries(pins).filter(([, it]) => it.pond === url && it.id === id)
  return {
    async meet(patience) {
      const answer = await ask(client, 'listWorkers', { patience })
      if (!answer.ok && !patience?.signal.aborted) throw callFailure('list the workers', answer.error)
      if (!answer.ok) return
      workers = answer.reply.items
      for (const shown of workers) pin(pinsBehind(pinsOf(shown), shown, io.clock.now()))
    },
    trusts(key) {
      const known = pins[key]
      if (known) return known.checked || !strict
      const shown = workers.find(({ signing_key }) => signing_key === key)
      // A worker that shows another key than the pinned one is not the one that was trusted.
      if (!shown || strict || isShutOut(shown) || pinsOf(shown).length > 0) return false
      const { id, name, sealing_key } = shown
      pin({ [key]: { id, name, pond: url, sealing_key, checked: false, at: io.clock.now() } })
      return true
    },
    async settle() {
      const more = fresh
      // Two streams end at once, and each key is kept and told of once.
      fresh = {}
      if (Object.keys(more).length === 0) return trust
      const kept = await changeTrust(home, (before) => ({ ...before, workers: merge(before.workers, more) }))
      for (const [key, { id, name, sealing_key, former }] of Object.entries(more)) {
        const followed = Object.values(more).some((it) => it.former && it.id === id)
        const news = followed ? `worker ${name} has new keys, signed by the ones that were trusted` : metFirst(name)
        const compare = followed ? '' : ' (compare: swarm keys)'
        if (!former) await out.note(`${news}: ${fingerprint(sealing_key, key)}${compare}`)
      }
      return kept
    },
  }
}

const metFirst = (name: string) => `trusting worker ${name} from now on`

const isShutOut = ({ state }: WorkerView) => state === 'quarantined' || state === 'revoked'

/** What was pinned before stays as it was, but that it may have been replaced. */
function merge(before: Pins, more: Pins): Pins {
  const merged = { ...before }
  for (const [key, pin] of Object.entries(more)) {
    merged[key] = { ...pin, ...before[key], ...(pin.former && { former: true }) }
  }
  return merged
}

/**
 * The keys in force of a worker that is known by others, and each step between; nothing where it shows what is pinned, or proves nothing. Only the last pinned
 * key can name the next: whoever comes by an older one does not lead away from it.
 */
function pinsBehind(pinned: readonly (readonly [string, PinnedWorker])[], shown: WorkerView, now: number): Pins {
  const [key, pin] = pinned.find(([, { former }]) => !former) ?? []
  const steps = key === undefined || isShutOut(shown) ? [] : follow(key, shown)
  if (key === undefined || !pin || steps.length === 0) return {}
  const behind = steps.map(({ signing_key, sealing_key }): [string, PinnedWorker] => {
    const former = signing_key === shown.signing_key ? {} : { former: true }
    return [signing_key, { ...pin, name: shown.name, sealing_key, at: now, ...former }]
  })
  return { [key]: { ...pin, former: true }, ...Object.fromEntries(behind) }
}

function follow(key: string, shown: WorkerView) {
  try {
    return followWorkerKeys(key, shown)
  } catch (error) {
    if (error instanceof SealError) return []
    throw error
  }
}
