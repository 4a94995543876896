// What all parts of one simulated world share.
import type { Store } from '../../server/store/contract.ts'
import type { Log } from '../../src/system/log.ts'
import type { Random } from '../../src/system/random.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createVirtualClock, type VirtualClock } from '../harness/virtual-clock.ts'
import { drawDemand } from './gear.ts'
import { createHistory, type Facts, type History } from './history.ts'
import { type Law, nameOf } from './invariant.ts'
import { createSearch, drawSecret } from './secret.ts'
import { calmed, drawWeather, type Weather } from './weather.ts'

export interface Place {
  readonly clock: VirtualClock
  /** The world's own dice; each process gets its own, made from these. */
  readonly random: Random
  /** For what machines have and jobs require. */
  readonly dice: Random
  readonly history: History
  readonly weather: () => Weather
  /** As it was drawn. */
  readonly storm: Weather
  /** Of the consumer; no other string holds it by chance. */
  readonly secret: string
  readonly isSecret: (bytes: Uint8Array | string) => boolean
  /** From now on nothing fails. */
  calm(): void
  log(host: string): Log
  /** The same store; time stands still while it works. */
  tracked(store: Store): Store
  /** What must never be: kept with the time at which it showed. */
  violate(law: Law, facts: Readonly<Record<string, unknown>>): void
  readonly violations: readonly string[]
}

export interface PlaceOptions {
  /** Gets each line of the history. */
  readonly print?: (line: string) => void
  /** In place of what the seed draws. */
  readonly storm?: Partial<Weather>
}

export function createPlace(seed: number, options: PlaceOptions = {}): Place {
  let working = 0
  const clock = createVirtualClock(undefined, () => working > 0 || diskWorks())
  const random = createSeededRandom(seed * 0x9e3779b1)
  // Seeds that are near each other give first numbers that are.
  random.bytes(64)
  const history = createHistory(clock, options.print)
  const violations: string[] = []
  const dice = createSeededRandom(seed * 0x85ebca6b)
  dice.bytes(64)
  const storm = { ...drawWeather(random), ...drawDemand(dice), ...options.storm }
  let weather = storm
  const secret = drawSecret(random)
  const isSecret = createSearch(secret)

  async function track<T>(work: () => Promise<T>): Promise<T> {
    working++
    try {
      return await work()
    } finally {
      working--
    }
  }

  const place: Place = {
    clock,
    random,
    dice,
    history,
    weather: () => weather,
    storm,
    secret,
    isSecret,
    calm() {
      weather = calmed(weather)
      history.note('calm')
    },
    log(host) {
      const write = (event: string, fields: Facts = {}) => {
        history.note(`${host}:${event}`, fields)
        if (isSecret(JSON.stringify(fields))) place.violate('no_secret_in_a_log', { host, event })
      }
      return {
        info: write,
        warn: write,
        error(event, fields) {
          write(event, fields)
          if (isFault(event, fields) || (event === 'executor_failed' && storm.diskFault === 0))
            place.violate('no_fault', { host, event, ...fields })
        },
      }
    },
    tracked: (store) => ({
      read: (work) => track(() => store.read(work)),
      write: (work) => track(() => store.write(work)),
      close: () => store.close(),
    }),
    violate(law, facts) {
      const line = `${nameOf(law)} ${JSON.stringify(facts)}`
      violations.push(line)
      history.note('VIOLATION', { law, ...facts })
    },
    violations,
  }
  return place
}

/** Folders of jobs lie on the real disk, for which time stands still too. */
const diskWorks = () => process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq') || name === 'CloseReq')

/** A product in order never says so, whatever the world does; a statement that the device refused is the world's. */
function isFault(event: string, fields: Facts | undefined): boolean {
  return event === 'claim_failed' || (event === 'request.fault' && !String(fields?.error).startsWith('DeviceError'))
}
