// BullMQ on Redis with appendfsync always, as a peer. Its packages live in bench/peers and are installed when they are asked for.
import type { Sample } from './figure.ts'
import type { SwarmOrder } from './pond-rig.ts'

export async function measurePeer(_order: SwarmOrder, _jobs: number): Promise<Sample> {
  throw new Error('unfinished')
}
