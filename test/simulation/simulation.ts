// One seed: a whole pond, its swarms and its consumer in one process, a storm, a calm, and the verdict.
import { setImmediate } from 'node:timers'
import type { PondRequest } from '../../server/http/message.ts'
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import type { Random } from '../../src/system/random.ts'
import { readArtifacts } from './artifact.ts'
import { attack } from './attacker.ts'
import { type Bundles, makeBundles } from './bundle.ts'
import { createChecker, liveStates } from './checker.ts'
import { createConsumer } from './consumer.ts'
import { watchLeases } from './lease-watch.ts'
import { createSimulatedNetwork, type SimulatedNetwork } from './network.ts'
import { lookWhoIsOnline } from './online-watch.ts'
import { adoptLate, orderDrain } from './operator.ts'
import { createPlace, type Place, type PlaceOptions } from './place.ts'
import { watchPlacement } from './placement-watch.ts'
import { createPondHost, type PondHost, type PondPlant } from './pond-host.ts'
import { sealSecret } from './sealed.ts'
import { CREDENTIAL } from './secret.ts'
import { createSwarmHost, type SwarmHost, type SwarmPlant } from './swarm-host.ts'
import { judge } from './verdict.ts'
import { clearSky, sound } from './weather.ts'
import { createWireWatch, type WireWatch } from './wire-watch.ts'

export interface Plant {
  readonly pond?: PondPlant
  readonly swarm?: SwarmPlant
}

export interface SimulationOptions extends PlaceOptions {
  readonly plant?: Plant
  /** The calm ends here: with some bugs nothing else ever ends it. */
  readonly isEnough?: (violations: readonly string[]) => boolean
}

export interface Outcome {
  readonly seed: number
  /** Empty when all held. */
  readonly violations: readonly string[]
  readonly digest: string
  readonly events: number
  readonly jobs: number
  readonly virtualMs: number
}

/** The command that shows all of one seed. */
export const replayCommand = (seed: number) => `npx tsx test/simulation/run.ts --seed ${seed} --verbose`

/** The longest that everything may take once nothing fails any more: holds, backoffs, leases and pauses, one after another. */
const CALM_MOST_MS = 60 * 60 * 1000

const NAP_MOST_MS = 20 * 60 * 1000

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<Outcome> {
  const place = createPlace(seed, options)
  const { clock, history } = place
  const unhandled = (error: unknown) => place.violate('no_unhandled_rejection', { error: stackOf(error) })
  process.on('unhandledRejection', unhandled)
  try {
    const world = await createWorld(place, options.plant)
    const { pond, swarms, network, consumer, checker, wire } = world
    let done = false
    const working = consumer.run().then(() => {
      done = true
    })
    working.catch((error: unknown) => place.violate('no_fault', { error: stackOf(error) }))
    scheduleFaults(place, world)
    await clock.advance(place.weather().stormMs)
    place.calm()
    network.heal()
    watchPlacement({ place, rows: () => pond.database.rows, swarms })
    const inTime = await clock
      .until(() => done || options.isEnough?.(place.violations) === true, CALM_MOST_MS)
      .then(
        () => true,
        () => false,
      )
    if (!inTime) place.violate('all_ends_after_the_storm', unfinished(world))
    // Who still sleeps wakes and tells what it knows; slots, processes and journals come to rest too.
    await clock.until(() => !swarms.some((swarm) => swarm.isAsleep()), NAP_MOST_MS)
    await clock.advance(2 * 60_000)
    const { operator: client } = world
    const mishap = (host: string) => swarms.some((swarm) => swarm.name === host && swarm.mishaps() > 0)
    const late = { place, client, rows: () => pond.database.rows, device: pond.device, runs: checker.runs, mishap }
    let looking = true
    const looked = adoptLate(late)
      .then(() => readArtifacts(late))
      .finally(() => {
        looking = false
      })
    await clock.until(() => !looking, CALM_MOST_MS)
    await looked
    await new Promise((resolve) => setImmediate(resolve))
    for (const swarm of swarms) swarm.searchDisk()
    await judge({
      place,
      checker,
      wire,
      bundles: world.bundles,
      rows: pond.database.rows,
      device: pond.device,
      orders: consumer.orders,
      mishap,
    })
    history.note('over', { violations: place.violations.length })
    const { length: jobs } = consumer.orders
    return {
      seed,
      violations: place.violations,
      digest: history.digest(),
      events: history.count(),
      jobs,
      virtualMs: clock.monotonic(),
    }
  } finally {
    process.off('unhandledRejection', unhandled)
  }
}

interface World {
  readonly pond: PondHost
  readonly swarms: readonly SwarmHost[]
  readonly network: SimulatedNetwork
  readonly operator: Client
  readonly consumer: ReturnType<typeof createConsumer>
  readonly checker: ReturnType<typeof createChecker>
  readonly wire: WireWatch
  readonly bundles: Bundles
}

/** Everything is paired and up before the first fault. */
async function createWorld(place: Place, plant: Plant = {}): Promise<World> {
  const { clock, random, weather, history } = place
  let fair = true
  const pond = createPondHost({ ...place, weather: () => (fair ? { ...weather(), ...sound } : weather()) }, plant.pond)
  const wire = createWireWatch(place)
  const checker = createChecker(place, wire, () => pond.database.rows)
  pond.database.committed = checker.committed
  const network = createSimulatedNetwork({
    clock,
    random,
    weather: () => (fair ? { ...weather(), ...clearSky } : weather()),
    answer: (request) => pond.answer(request),
    tap: checker.tap,
    note: history.note,
  })
  const isLive = (id: string) => liveStates.has(pond.database.rows.claims.get(id)?.lease.state ?? '')
  const parts = { place, network, started: checker.started, isLive, plant: plant.swarm }
  const swarms = Array.from({ length: weather().swarms }, (_, index) =>
    createSwarmHost({ ...parts, name: `swarm-${index}` }),
  )
  let bundles: Bundles = new Map()
  const setUp = async () => {
    await pond.start()
    const admin = adminClient(place, network, pond.adminToken)
    if (weather().bundles > 0) bundles = await makeBundles(admin, place)
    const body = await sealSecret(random, place.secret)
    const kept = await admin.call('putCredential', { params: { name: CREDENTIAL }, body })
    if (!kept.ok) throw new Error(kept.error.message)
    for (const swarm of swarms) {
      const code = await admin.call('createPairingCode', {
        body: { project: 'default', allowed_labels: { '*': { op: 'exists' } } },
      })
      if (!code.ok) throw new Error(code.error.message)
      await swarm.pair(code.reply.code)
      startSwarm(place, swarm)
    }
  }
  let over = false
  const settingUp = setUp().finally(() => {
    over = true
  })
  await clock.until(() => over, 60_000)
  await settingUp
  fair = false
  watchLeases({
    place,
    rows: () => pond.database.rows,
    listens: () => pond.listens(),
    faults: () => pond.faults(),
    heardOf: wire.heardOf,
  })
  const consumer = createConsumer({
    place,
    network,
    token: pond.adminToken,
    name: 'consumer',
    bundles: [...bundles.keys()],
    gears: swarms.map(({ gear }) => gear),
  })
  return {
    pond,
    swarms,
    network,
    operator: adminClient(place, network, pond.adminToken),
    consumer,
    checker,
    wire,
    bundles,
  }
}

/** Some are paired long before they come. */
function startSwarm({ clock, dice, storm }: Place, swarm: SwarmHost): void {
  const isLate = storm.late > 0 && dice.number() < storm.late
  if (isLate) clock.after(dice.number() * storm.stormMs, () => void swarm.start())
  else void swarm.start()
}

const adminClient = ({ clock, random, log }: Place, network: SimulatedNetwork, token: string) =>
  createClient({
    network: network.connect('operator'),
    clock,
    random,
    log: log('operator'),
    baseUrl: 'http://127.0.0.1:7460',
    token,
    version: '0.0.0',
  })

/** Each fault at its own random moment of the storm. */
function scheduleFaults(place: Place, { pond, swarms, network, operator, wire }: World): void {
  const { clock, random } = place
  const {
    stormMs,
    pondCrashes,
    swarmCrashes,
    powerCuts,
    drains,
    orders,
    naps,
    pauses,
    stalls,
    attacks,
    looks,
    fullDisks,
    partitions,
  } = place.weather()
  const times = (count: number, run: () => void) => {
    for (let turn = 0; turn < count; turn++) clock.after(random.number() * stormMs, run)
  }
  const inCalls = () => (random.number() < 0.7 ? 1 + Math.floor(random.number() * 30) : 0)
  const kind = () => (random.number() < powerCuts ? 'power' : 'kill')
  times(pondCrashes, () => pond.crash(kind(), inCalls()))
  times(swarmCrashes, () => pick(random, swarms).crash(kind(), inCalls()))
  times(drains, () => pick(random, swarms).drain(random.number() * 20_000))
  times(orders, () => void orderDrain(operator, place))
  times(naps, () => pick(random, swarms).nap(random.number() ** 2 * NAP_MOST_MS))
  times(pauses, () => pick(random, swarms).pause(random.number() * 30_000))
  times(stalls, () => pick(random, [pond, ...swarms]).stall(random.number() ** 2 * 200_000))
  times(attacks, () => void attack({ place, swarms, intents: () => wire.intents }))
  const { adminToken: token } = pond
  const online = {
    place,
    token,
    answer: (request: PondRequest) => pond.answer(request),
    completedAt: wire.completedAt,
  }
  times(looks, () => void lookWhoIsOnline(online))
  times(fullDisks, () => pond.fill(random.number() * 30_000))
  times(partitions, () => {
    const forMs = random.number() ** 2 * 240_000
    const hosts = [...swarms.map(({ name }) => name), 'consumer']
    network.cut(pick(random, hosts), Math.min(forMs, stormMs), pick(random, ['both', 'both', 'up', 'down']))
  })
}

function pick<T>(random: Random, things: readonly T[]): T {
  const thing = things[Math.floor(random.number() * things.length)]
  if (thing === undefined) throw new Error('there is nothing to pick')
  return thing
}

function unfinished({ consumer }: World): Record<string, unknown> {
  const open = consumer.orders.filter(({ view }) => !view?.ended_at)
  return { open: open.map(({ id, view }) => `${id} ${view?.state}`) }
}

const stackOf = (error: unknown) => (error instanceof Error ? (error.stack ?? '') : String(error))
