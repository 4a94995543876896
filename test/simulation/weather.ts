// How bad the world of one seed is: drawn once, so that some seeds are calm, some lose a little and some lose a lot.
import type { Settings } from '../../server/service/parts.ts'
import type { Random } from '../../src/system/random.ts'
import type { Demand } from './gear.ts'

export interface Weather extends Demand {
  /** Nothing ever fails. */
  readonly calm: boolean
  /** Chances for each call over the network. */
  readonly dropRequest: number
  readonly dropReply: number
  readonly duplicate: number
  readonly cutReply: number
  /** A reply ends in its middle, and nothing says so. */
  readonly truncate: number
  /** The connection stands, and nothing more comes on it. */
  readonly halfOpen: number
  /** A page of a proxy comes instead of pond's reply. */
  readonly foreign: number
  /** The caller is sent on to another host. */
  readonly redirect: number
  /** Chance that a message is slow, and how slow at most, in milliseconds. */
  readonly slow: number
  readonly slowMs: number
  /** Times that one machine, or the way to pond, is cut off. */
  readonly partitions: number
  readonly pondCrashes: number
  readonly swarmCrashes: number
  /** Chance that a crash, of pond or of a swarm, takes the power of its machine. */
  readonly powerCuts: number
  /** The longest that a dead swarm stays away, in milliseconds; mostly it is much less. */
  readonly awayMs: number
  readonly drains: number
  /** Times that an operator orders a worker to leave. */
  readonly orders: number
  /** Times that the lid of a laptop is closed. */
  readonly naps: number
  /** Chance that a machine is a laptop. */
  readonly laptops: number
  readonly pauses: number
  /** Times that pond or a swarm is suspended. */
  readonly stalls: number
  /** Times that somebody tries a right which is not his. */
  readonly attacks: number
  /** Times that an operator looks who is online. */
  readonly looks: number
  /** Times that pond's device is full. */
  readonly fullDisks: number
  /** Chance that a commit of pond's store fails. */
  readonly commitFault: number
  /** Chance that a statement which changes something fails. */
  readonly statementFault: number
  /** Chance that an append to pond's streams finds no room, or that its fsync fails. */
  readonly blobFault: number
  /** Chance that an operation of a machine's disk fails. */
  readonly diskFault: number
  readonly settings: Partial<Settings>
  readonly swarms: number
  readonly slots: number
  readonly jobs: number
  /** Chance that a job has a bundle. */
  readonly bundles: number
  /** Chance that a job leaves files. */
  readonly artifacts: number
  /** Jobs come and faults happen for this long; then the world is calm until all is over. */
  readonly stormMs: number
}

export function drawWeather(random: Random): Omit<Weather, keyof Demand> {
  const maybe = (chance: number, most: number) => (random.number() < chance ? random.number() * most : 0)
  const upTo = (most: number) => Math.floor(random.number() * (most + 1))
  const swarms = 1 + upTo(2)
  const calm = random.number() < 0.08
  const times = (chance: number, most: number) => (calm || random.number() > chance ? 0 : 1 + upTo(most - 1))
  const odds = (chance: number, most: number) => (calm ? 0 : maybe(chance, most))
  // Machines that go down as soon as they are up, before pond has heard all: what one life left, the next one leaves again.
  const flickers = !calm && random.number() < 0.1
  const leaseMs = [20_000, 40_000, 90_000][upTo(2)] ?? 90_000
  return {
    calm,
    dropRequest: flickers ? 0.3 : odds(0.6, 0.15),
    dropReply: odds(0.6, 0.15),
    duplicate: odds(0.5, 0.1),
    cutReply: odds(0.5, 0.05),
    truncate: odds(0.3, 0.05),
    halfOpen: odds(0.3, 0.05),
    foreign: odds(0.3, 0.05),
    redirect: odds(0.2, 0.05),
    slow: odds(0.7, 0.2),
    slowMs: random.number() < 0.3 ? 60_000 : 3000,
    partitions: times(0.5, 3),
    pondCrashes: flickers ? 5 : times(0.7, 5),
    swarmCrashes: flickers ? 6 * swarms + upTo(6) : times(0.7, 2 * swarms),
    powerCuts: flickers ? 0.5 : 0.4,
    awayMs: flickers ? 3000 : 120_000,
    drains: times(0.3, 2),
    orders: times(0.3, 3),
    naps: times(0.3, 3),
    laptops: random.number() < 0.3 ? 0.7 : 0,
    pauses: times(0.2, 2),
    stalls: times(0.4, 3),
    attacks: upTo(6),
    looks: upTo(8),
    fullDisks: times(0.2, 2),
    commitFault: odds(0.3, 0.02),
    statementFault: odds(0.2, 0.01),
    blobFault: odds(0.2, 0.05),
    diskFault: odds(0.2, 0.02),
    settings: { leaseMs, pollHoldMs: 2 * leaseMs > 50_000 ? 50_000 : leaseMs, pollHoldBusyMs: leaseMs / 4 },
    swarms,
    slots: 1 + upTo(3),
    jobs: 6 + upTo(18),
    bundles: random.number() < 0.3 ? 0.4 : 0,
    artifacts: random.number() < 0.3 ? 0.4 : 0,
    stormMs: 60_000 + upTo(120_000),
  }
}

/** Nothing happens to a message. */
export const clearSky = {
  ...{ dropRequest: 0, dropReply: 0, duplicate: 0, cutReply: 0, truncate: 0, halfOpen: 0, foreign: 0, redirect: 0 },
  slow: 0,
} as const

/** Nothing fails in pond's store and streams. */
export const sound = { commitFault: 0, statementFault: 0, blobFault: 0 } as const

/** The same world once the storm is over. */
export const calmed = (weather: Weather): Weather => ({
  ...weather,
  ...clearSky,
  ...sound,
  diskFault: 0,
})
