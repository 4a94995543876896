// A worker that joins a machine's binding, and keys that replace others: what each side says to enroll and to rotate.
import type { EnrollmentBody } from '../../src/protocol/admin.ts'
import type { Labels } from '../../src/protocol/job.ts'
import type { EnrollBody } from '../../src/protocol/orch.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import { enrollmentMac } from '../../src/seal/enrollment.ts'
import { type PairingCode, parsePairingCode } from '../../src/seal/pairing.ts'
import { signRotation } from '../../src/seal/rotation.ts'
import { aKey, type Machine } from './machine.ts'
import type { PondRig } from './pond.ts'
import { workerSigner } from './worker-key.ts'

/** A printed code for one more worker of the machine's binding. */
export async function createEnrollment(
  rig: PondRig,
  { bindingId }: Pick<Machine, 'bindingId'>,
  more: Partial<EnrollmentBody> = {},
): Promise<PairingCode> {
  const { reply } = await rig.call('createEnrollmentCode', { body: { binding: bindingId, ...more } })
  const code = parsePairingCode(reply.code)
  if (!code) throw new Error('pond prints whole codes')
  return code
}

export const workerKeys = (letter: string) => ({
  sealing_key: aKey(letter),
  signing_key: workerSigner(letter).publicKey,
})

/** What a worker with the keys of this letter says, for the orchestrator to carry. */
export function enrollBody(
  code: PairingCode,
  { bindingId }: Pick<Machine, 'bindingId'>,
  said: {
    readonly letter?: string
    readonly name?: string
    readonly labels?: Labels
    readonly without?: string[]
  } = {},
): EnrollBody {
  const { letter = 'e', name = 'second', labels = {}, without } = said
  const body = {
    name,
    worker: { ...workerKeys(letter), labels, ...(without && { without_labels: without }), resources: { slots: 2 } },
  }
  const about = { pondKeyHash: code.pondKeyHash, bindingId, codeId: code.id, said: body }
  return { ...body, mac: enrollmentMac(code.secret, about) }
}

/** The machine's worker keys become those of this letter. */
export function rotationOf({ workerId, signer }: Machine, letter: string): Dsse {
  return signRotation({ kind: 'worker', worker_id: workerId, ...workerKeys(letter) }, signer)
}
