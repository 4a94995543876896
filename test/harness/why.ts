// What pond says of why a job is where it is, asked of a real pond.
import type { WhyView } from '../../src/protocol/why.ts'
import { type Machine, pairMachine } from './machine.ts'
import { createPondRig, type PondRig } from './pond.ts'

export const why = async (rig: PondRig, id: string): Promise<WhyView> =>
  (await rig.call('explainJob', { params: { id } })).reply

export async function withBox(t: Parameters<typeof createPondRig>[0], said: Parameters<typeof pairMachine>[1] = {}) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1, ...said })
  return { rig, box }
}

/** Its poll is held with nothing free, so it is online and busy. */
export async function hold(rig: PondRig, box: Machine, slots = 0) {
  const poll = box.poll({ slots, wait_ms: 20_000, claim_key: 'the key of the held' })
  await rig.clock.settle()
  return poll
}
