// A consumer of the simulated pond: submits random jobs, cancels some, follows their states and streams, and remembers what it was told.
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import type { JobView } from '../../src/protocol/consumer.ts'
import { isFinal, type JobSpec, type JobState } from '../../src/protocol/job.ts'
import { sleep } from '../../src/system/clock.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { drawWish, type Gear } from './gear.ts'
import { makeJob } from './job-maker.ts'
import type { SimulatedNetwork } from './network.ts'
import type { Place } from './place.ts'

/** A job as its consumer knows it. */
export interface Order {
  readonly name: string
  readonly spec: JobSpec
  /** What it waits for; each stands before it. */
  readonly after: readonly { readonly other: Order; readonly on: 'success' | 'end' }[]
  id?: string
  /** The last view. */
  view?: JobView
  cancelAsked: boolean
  /** The stream that was followed. */
  heard?: { readonly stream: string; readonly attempt: number; readonly bytes: Buffer; readonly end: string }
}

export interface Consumer {
  readonly orders: readonly Order[]
  /** Resolves when every job has ended and all that was followed is read. */
  run(): Promise<void>
}

interface ConsumerParts {
  readonly place: Place
  readonly network: SimulatedNetwork
  readonly token: string
  readonly name: string
  /** Digests of what its jobs may name. */
  readonly bundles: readonly string[]
  /** What all machines have, those that come later too. */
  readonly gears: readonly Gear[]
}

export function createConsumer({ place, network, token, name, bundles, gears }: ConsumerParts): Consumer {
  const { clock, random, dice, weather } = place
  const client = createClient({
    network: network.connect(name),
    clock,
    random: createSeededRandom(random.bytes(4).readUInt32LE()),
    log: place.log(name),
    baseUrl: 'http://127.0.0.1:7460',
    token,
    version: '0.0.0',
  })
  const orders: Order[] = []
  for (let index = 0; index < weather().jobs; index++) {
    const jobName = `${name}-${index}`
    const spec = makeJob(random, { name: jobName, bundles, bundled: weather().bundles, leaving: weather().artifacts })
    const wish = drawWish(dice, { needs: weather().needs, gears })
    orders.push({ name: jobName, spec: { ...spec, ...wish }, after: drawAfter(place, orders), cancelAsked: false })
  }

  async function follow(order: Order): Promise<void> {
    await sleep(clock, random.number() * weather().stormMs * 0.9)
    const again = random.number() < 0.2
    const sending = submit(place, client, { order, again })
    const wantsCancel = random.number() < 0.15
    const wantsStream = random.number() < 0.5
    const cancelAfterMs = random.number() ** 2 * 30_000
    const id = await sending
    if (id === undefined) return place.violate('submit_is_taken', { name: order.name })
    order.id = id
    await Promise.all([
      watch(place, client, { order, id }),
      ...(wantsCancel ? [cancel(place, client, { order, id, afterMs: cancelAfterMs })] : []),
      ...(wantsStream ? [listen(place, client, { order, id })] : []),
    ])
  }

  return {
    orders,
    run: async () => void (await Promise.all(orders.map(follow))),
  }
}

/** One or two of the jobs before it, each once. */
function drawAfter({ dice, weather }: Place, orders: readonly Order[]): Order['after'] {
  if (weather().after === 0 || orders.length === 0 || dice.number() >= weather().after) return []
  const others = new Set([0, 1].map(() => orders[Math.floor(dice.number() * orders.length)] as Order))
  return [...others].map((other) => ({ other, on: dice.number() < 0.6 ? 'success' : 'end' }))
}

/** As soon as all that it waits for is known to pond. */
async function specOf({ clock }: Place, { spec, after }: Order): Promise<JobSpec> {
  while (after.some(({ other }) => other.id === undefined)) await sleep(clock, 1000)
  return { ...spec, after: after.map(({ other, on }) => ({ job: other.id ?? '', on })) }
}

interface Sending {
  readonly order: Order
  readonly again: boolean
}

async function submit(place: Place, client: Client, { order, again }: Sending): Promise<string | undefined> {
  const body = order.after.length > 0 ? await specOf(place, order) : order.spec
  const call = { body, idempotencyKey: order.name }
  const answers = await Promise.all(Array.from({ length: again ? 2 : 1 }, () => client.persist('submitJob', call)))
  const ids = answers.map((answer) => (answer.ok && !('items' in answer.reply) ? answer.reply.id : undefined))
  return ids.every((id) => id === ids[0]) ? ids[0] : undefined
}

interface Sent {
  readonly order: Order
  readonly id: string
}

/** Looks until the job has ended, and once more: what one call said, the next one never takes back. */
async function watch(place: Place, client: Client, { order, id }: Sent): Promise<void> {
  for (let ended = false; ; ) {
    const answer = await client.persist('getJob', { params: { id }, query: { wait_ms: 20_000 } })
    if (!answer.ok) return place.violate('acknowledged_job_stays', { id, code: answer.error.code })
    const { view } = order
    const next = answer.reply
    if (view && next.version < view.version)
      place.violate('version_never_falls', { id, from: view.version, to: next.version })
    if (view && isFinal(view.state) && JSON.stringify(view) !== JSON.stringify(next))
      place.violate('terminal_absorbs', { id, from: view.state, to: next.state })
    order.view = next
    if (ended) return
    ended = isFinal(next.state as JobState)
    if (ended) await sleep(place.clock, place.random.number() * 60_000)
  }
}

async function cancel(
  place: Place,
  client: Client,
  { order, id, afterMs }: Sent & { readonly afterMs: number },
): Promise<void> {
  await sleep(place.clock, afterMs)
  order.cancelAsked = true
  place.history.note('cancel', { id })
  const answer = await client.persist('cancelJob', { params: { id } })
  if (!answer.ok && answer.error.code !== 'not_possible')
    place.violate('cancel_is_taken', { id, code: answer.error.code })
}

/** Reads the output of whatever attempt it meets first, from offset to offset, to its end. */
async function listen(place: Place, client: Client, { order, id }: Sent): Promise<void> {
  const name = place.random.number() < 0.8 ? 'stdout' : 'stderr'
  const read = (query: Record<string, number | undefined>) =>
    client.persist('readStream', { params: { id, name }, query: { wait_ms: 10_000, ...query } })
  let attempt: number | undefined
  let bytes = Buffer.alloc(0)
  for (;;) {
    const answer = await read({ offset: bytes.length, attempt })
    if (!answer.ok) {
      if (answer.error.code !== 'not_found' || attempt !== undefined)
        return place.violate('stream_can_be_read', { id, code: answer.error.code })
      if (order.view && isFinal(order.view.state as JobState)) return
      await sleep(place.clock, 1000)
      continue
    }
    attempt = Number(answer.headers['pond-attempt'])
    bytes = Buffer.concat([bytes, answer.reply as Buffer])
    const end = answer.headers['pond-end'] ?? ''
    // A body may end early without a word.
    const isWhole = Number(answer.headers['pond-next-offset']) === bytes.length
    if (end === 'open' || !isWhole) continue
    order.heard = { stream: name, attempt, bytes, end }
    return
  }
}
