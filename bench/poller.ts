// A paired machine that only polls, by hand: what a swarm does around it is no part of what is measured.
import type { createNetwork } from '../src/client/network.ts'
import type { Binding, Home, KeySet } from '../src/orchestrator/home.ts'
import { pair } from '../src/orchestrator/pair.ts'
import { makeSigningPair } from '../src/seal/key.ts'
import { hashPondKey } from '../src/seal/pairing.ts'
import { createCallSigner, type SignCall } from '../src/seal/request-signature.ts'
import { connect, type PondRig } from './pond-rig.ts'

export interface Poller {
  readonly worker: string
  readonly token: string
  readonly sign: SignCall
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
  return { worker: binding.workers[0].worker_id, token: binding.token, sign, seq: 0 }
}
