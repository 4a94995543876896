// The keys of workers: pinned when they are first met, followed where the pinned ones signed the new ones, refused otherwise.
import type { WorkerView } from '../../protocol/consumer.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { SealError } from '../../seal/refusal.ts'
import { followWorkerKeys } from '../../seal/rotation.ts'
import { callFailure } from '../failure.ts'
import { ask, type Patience } from '../patience.ts'
import type { Session } from '../session.ts'
import { changeTrust, type PinnedWorker, type Trust, workerKey } from './store.ts'

export interface WorkerPins {
  /** Asks pond for its workers, and follows those that have new keys. Through outages, where there is somebody who waits for it. */
  meet(patience?: Patience): Promise<void>
  /** Whether what this Ed25519 key signed is believed; pins the key of a worker that is met for the first time. */
  trusts(key: string): boolean
  /** Whether both are keys of one worker. */
  sameWorker(one: string, other: string): boolean
  /** Keeps what was pinned, and says so. */
  settle(): Promise<Trust>
}

export interface PinsParts {
  readonly trust: Trust
  /** When the job was submitted that a worker speaks of. */
  readonly submittedAt: number
}

export function createWorkerPins(session: Session, { trust: first, submittedAt }: PinsParts): WorkerPins {
  const { client, connection, io } = session
  const { url } = connection
  const strict = io.env.POND_TRUST === 'checked'
  let trust = first
  let workers: readonly WorkerView[] = []
  /** Met for the first time, to be kept. */
  let fresh: readonly PinnedWorker[] = []

  return {
    async meet(patience) {
      const answer = await ask(client, 'listWorkers', { patience })
      if (!answer.ok && !patience?.signal.aborted) throw callFailure('list the workers', answer.error)
      if (!answer.ok) return
      workers = answer.reply.items
      trust = await followAll(session, workers)
      const mine = fresh.filter((pin) => !trust.workers[keyOf(pin)])
      trust = withPins(trust, mine)
    },
    trusts(key) {
      const holders = findHolders(trust, key)
      if (holders.length > 0) {
        return holders.some((it) => it.until >= submittedAt && (it.worker.checked || !strict))
      }
      const shown = workers.find(({ signing_key }) => signing_key === key)
      // A worker that shows another key than the pinned one is not the one that was trusted.
      if (!shown || strict || isShutOut(shown) || trust.workers[workerKey(url, shown.id)]) return false
      const { id, name, sealing_key, signing_key } = shown
      const keys = { sealing_key, signing_key, former: [] }
      const pin: PinnedWorker = { id, name, pond: url, ...keys, checked: false, at: io.clock.now() }
      trust = withPins(trust, [pin])
      fresh = [...fresh, pin]
      return true
    },
    sameWorker(one, other) {
      const others = new Set(findHolders(trust, other).map(({ worker }) => worker))
      return findHolders(trust, one).some(({ worker }) => others.has(worker))
    },
    async settle() {
      const met = fresh
      // Two streams end at once, and each key is kept and told of once.
      fresh = []
      if (met.length === 0) return trust
      let kept = met
      trust = await changeTrust(placeOf(session), (before) => {
        kept = met.filter((pin) => !before.workers[keyOf(pin)])
        return kept.length > 0 ? withPins(before, kept) : before
      })
      for (const pin of kept) {
        await session.out.note(`trusting worker ${pin.name} from now on: ${printOf(pin)} (compare: swarm keys)`)
      }
      return trust
    },
  }
}

const placeOf = ({ connection, io }: Session) => ({ home: connection.home, clock: io.clock })

/** By what is pinned by now: another program may have followed, or taken back, what was read here before. */
async function followAll(session: Session, workers: readonly WorkerView[]): Promise<Trust> {
  const { url } = session.connection
  const now = session.io.clock.now()
  let followed: readonly PinnedWorker[] = []
  const trust = await changeTrust(placeOf(session), (before) => {
    followed = workers.flatMap((shown) => moved(before.workers[workerKey(url, shown.id)], shown, now))
    return followed.length > 0 ? withPins(before, followed) : before
  })
  for (const pin of followed) {
    await session.out.note(`worker ${pin.name} has new keys, signed by the ones that were trusted: ${printOf(pin)}`)
  }
  return trust
}

/** Who has, or had, this Ed25519 key, and until when it spoke for him. */
export function findHolders(
  { workers }: Trust,
  key: string,
): readonly { readonly worker: PinnedWorker; readonly until: number }[] {
  return Object.values(workers).flatMap((worker) => {
    if (worker.signing_key === key) return { worker, until: Number.POSITIVE_INFINITY }
    const former = worker.former.find(({ signing_key }) => signing_key === key)
    return former ? { worker, until: former.until } : []
  })
}

/** As `swarm keys` shows it. */
export const printOf = ({ sealing_key, signing_key }: Pick<PinnedWorker, 'sealing_key' | 'signing_key'>) =>
  fingerprint(sealing_key, signing_key)

const keyOf = ({ pond, id }: PinnedWorker) => workerKey(pond, id)

function withPins(trust: Trust, pins: readonly PinnedWorker[]): Trust {
  return { ...trust, workers: { ...trust.workers, ...Object.fromEntries(pins.map((pin) => [keyOf(pin), pin])) } }
}

const isShutOut = ({ state }: WorkerView) => state === 'quarantined' || state === 'revoked'

/** With the keys that a worker shows, if those that were pinned last lead to them. Whoever comes by older ones does not lead away. */
function moved(pinned: PinnedWorker | undefined, shown: WorkerView, now: number): PinnedWorker[] {
  if (!pinned || isShutOut(shown) || pinned.signing_key === shown.signing_key) return []
  const steps = readSteps(pinned, shown)
  const last = steps.at(-1)
  if (!last) return []
  const replaced = [pinned, ...steps.slice(0, -1)].map((it) => {
    return { sealing_key: it.sealing_key, signing_key: it.signing_key, until: now }
  })
  const { sealing_key, signing_key } = last
  return [{ ...pinned, sealing_key, signing_key, former: [...pinned.former, ...replaced], at: now }]
}

function readSteps({ signing_key }: PinnedWorker, shown: WorkerView) {
  try {
    return followWorkerKeys(signing_key, shown)
  } catch (error) {
    if (error instanceof SealError) return []
    throw error
  }
}
