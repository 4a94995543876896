// A paired machine that only polls, by hand: what a swarm does around it is no part of what is measured.
import { randomBytes } from 'node:crypto'
import { createNetwork } from '../src/client/network.ts'
import type { Binding, Home, KeySet } from '../src/orchestrator/home.ts'
import { pair } from '../src/orchestrator/pair.ts'
import { OLDEST_PROTOCOL } from '../src/protocol/version.ts'
import { acceptCallKey, makeHalf } from '../src/seal/call-key.ts'
import { makeSigningPair } from '../src/seal/key.ts'
import { hashPondKey } from '../src/seal/pairing.ts'
import { createCallSigner, createMacSigner, type SignCall } from '../src/seal/request-signature.ts'
import { systemClock } from '../src/system/clock.ts'
import { systemRandom } from '../src/system/random.ts'
import { note } from './figure.ts'
import { connect, type PondRig, startPond } from './pond-rig.ts'

export interface Poller {
  readonly worker: string
  readonly token: string
  /** With its call key, once it has one. */
  sign: SignCall
  /** With its binding key. */
  readonly signAs: SignCall
  readonly binding: Binding
  /** Its one public key, whatever a key is asked for. */
  readonly publicKey: string
  seq: number
}

export async function pairPoller(
  pond: PondRig,
  network: ReturnType<typeof createNetwork>,
  { code, name }: { code: string; name: string },
): Promise<Poller> {
  // One real pair does for all that a worker has; making three would take most of the time.
  const key = await makeSigningPair()
  const home: Pick<Home, 'readBinding' | 'writeBinding' | 'readKeys' | 'writeKeys'> = {
    readBinding: async () => undefined,
    writeBinding: async (_: Binding) => {},
    readKeys: async () => undefined,
    writeKeys: async (_: KeySet) => {},
  }
  const binding = await pair(
    {
      home: home as Home,
      makeKeyPair: async () => key,
      connect: (sign) => connect(pond.url, network.request, { sign }),
    },
    { pond: pond.url, code, name, labels: {}, resources: { slots: 1, cpus: 1, memory_bytes: 2 ** 30 } },
  )
  const sign = createCallSigner(key, hashPondKey(binding.pond_key))
  const [{ worker_id: worker }] = binding.workers
  return { worker, token: binding.token, sign, signAs: sign, binding, publicKey: key.publicKey, seq: 0 }
}

/** As a swarm does behind its first poll: from then on each call has a MAC, until this pond ends. */
export async function agreeAll(pond: PondRig, pollers: readonly Poller[]): Promise<void> {
  const network = createNetwork({ clock: systemClock })
  await inCrowds(pollers.length, async (index) => {
    const poller = pollers[index]
    if (!poller) return
    const { binding_id: bindingId, pond_key: pondKey } = poller.binding
    const half = makeHalf(systemRandom)
    const own = connect(pond.url, network.request, { token: poller.token, sign: poller.signAs })
    const answer = await own.call('agreeCallKey', { body: { half: half.shown } })
    if (!answer.ok) throw new Error(answer.error.message)
    const callKey = acceptCallKey(half, answer.reply.signed, { bindingId, pondKey })
    poller.sign = createMacSigner(callKey, hashPondKey(pondKey))
  })
  await network.close()
}

const CODE_USES = 1000
/** At a time, of whatever many of them do. */
const CROWD = 100

/** So many, paired with a pond in that folder. */
export async function pairAll(folder: string, count: number): Promise<Poller[]> {
  const pond = await startPond(folder)
  const network = createNetwork({ clock: systemClock })
  const pollers: Poller[] = []
  try {
    for (let done = 0; done < count; done += CODE_USES) {
      const printed = await pond.makeCode(CODE_USES)
      const code = printed.slice(printed.lastIndexOf('#') + 1)
      await inCrowds(Math.min(CODE_USES, count - done), async (index) => {
        pollers.push(await pairPoller(pond, network, { code, name: `p${done + index}` }))
      })
      note(`paired ${pollers.length} of ${count}`)
    }
  } finally {
    await network.close()
    await pond.stop()
  }
  return pollers
}

export async function inCrowds(count: number, one: (index: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += CROWD) {
    await Promise.all(Array.from({ length: Math.min(CROWD, count - start) }, (_, index) => one(start + index)))
  }
}

const session = randomBytes(12).toString('base64url')

/** The body of the poller's next poll: one free slot, and nothing held. */
export function nextPoll(poller: Poller, waitMs: number): object {
  poller.seq += 1
  const { seq, worker } = poller
  return {
    ...{ protocol: OLDEST_PROTOCOL, session, seq, claim_key: `${session}.${seq}`, wait_ms: waitMs },
    ...{ workers: [{ worker_id: worker, free: { slots: 1 } }], have: [] },
  }
}
