// What the replay of a route needs: its rows, and those of the operator's routes.
import type { ErrorCode } from '../../../src/protocol/error.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { RouteName } from '../../../src/protocol/route.ts'
import { aKey, createCode, type Machine } from '../../harness/machine.ts'
import { createEnrollment, enrollBody, rotationOf } from '../../harness/newcomer.ts'
import type { Asking, PondRig } from '../../harness/pond.ts'
import type { Sealer } from '../../harness/sealer.ts'

export interface World {
  readonly rig: PondRig
  readonly box: Machine
  /** Its job names a credential and a bundle. */
  readonly intent: Intent
  readonly sealer: Sealer
}

export interface Row {
  readonly says: string
  asking(world: World): Asking | Promise<Asking>
  /** The second answer, where it is not the first once more. */
  readonly second?: ErrorCode
  /** The second call is meant to change something: which tables, and why. */
  readonly changes?: { readonly tables: readonly string[]; readonly why: string }
}

export const twoWant = (what: string, tables: readonly string[]) => ({
  tables: [...tables, 'audit'],
  why: `it has no idempotency key: a second ${what} is a second ${what}, and its secret is shown only once`,
})

export function snapshot(box: Machine) {
  const keys = { sealing_key: aKey('z'), signing_key: aKey('z') }
  const worker = {
    worker_id: box.workerId,
    keys,
    labels: {},
    resources: { slots: 3 },
    inflight: 0,
    load: 1,
    version: '1',
  }
  return { session: 's-replay', seq: 1, workers: [worker] }
}

export const operatorReplays = {
  putWeight: [{ says: 'another weight', asking: () => ({ params: { project: 'default' }, body: { weight: 7 } }) }],
  putLadder: [
    {
      says: 'for everybody',
      asking: ({ box }) => ({ params: { id: box.bindingId }, body: { friends: [], public: true } }),
    },
  ],
  setQuota: [
    { says: 'the same quota', asking: () => ({ params: { project: 'default' }, body: { queued: 5, running: 2 } }) },
  ],
  createProject: [{ says: 'the same name', asking: () => ({ body: { name: 'twice' } }), second: 'exists' }],
  createKey: [{ says: 'a key', asking: () => ({ body: {} }), changes: twoWant('key', ['keys']) }],
  revokeKey: [
    {
      says: 'a key',
      async asking({ rig }) {
        return { params: { id: (await rig.call('createKey', { body: {} })).reply.id } }
      },
    },
  ],
  enroll: [
    {
      says: 'the same code and keys',
      async asking({ rig, box }) {
        const code = await createEnrollment(rig, box)
        return { token: box.token, params: { code_id: code.id }, body: enrollBody(code, box, { letter: 'e' }) }
      },
    },
  ],
  rotate: [
    { says: 'a new token', asking: ({ box }) => ({ token: box.token, body: {} }) },
    {
      says: 'new keys of the worker',
      asking: ({ box }) => ({ token: box.token, body: { workers: [rotationOf(box, 'z')] } }),
    },
  ],
  createEnrollmentCode: [
    {
      says: 'a code',
      asking: ({ box }) => ({ body: { binding: box.bindingId } }),
      changes: twoWant('code', ['codes']),
    },
  ],
  revokeEnrollmentCode: [
    {
      says: 'a code',
      asking: async ({ rig, box }) => ({ params: { id: (await createEnrollment(rig, box)).id } }),
    },
  ],
  drainWorker: [
    {
      says: 'with a deadline that runs',
      asking: ({ box }) => ({ params: { id: box.workerId }, body: { deadline_ms: 60_000, note: 'disk' } }),
    },
  ],
  resumeWorker: [
    {
      says: 'one that drains',
      async asking({ rig, box }) {
        await rig.call('drainWorker', { params: { id: box.workerId }, body: {} })
        return { params: { id: box.workerId }, body: {} }
      },
    },
  ],
  drainBinding: [
    {
      says: 'with a deadline that runs',
      asking: ({ box }) => ({ params: { id: box.bindingId }, body: { deadline_ms: 60_000, note: 'disk' } }),
    },
  ],
  cordonWorker: [
    {
      says: 'with an expiry that runs',
      asking: ({ box }) => ({ params: { id: box.workerId }, body: { for_ms: 60_000, note: 'disk' } }),
    },
  ],
  uncordonWorker: [
    {
      says: 'one that is cordoned',
      async asking({ rig, box }) {
        await rig.call('cordonWorker', { params: { id: box.workerId }, body: {} })
        return { params: { id: box.workerId } }
      },
    },
  ],
  cordonBinding: [{ says: 'without an expiry', asking: ({ box }) => ({ params: { id: box.bindingId }, body: {} }) }],
  uncordonBinding: [
    {
      says: 'one that is cordoned',
      async asking({ rig, box }) {
        await rig.call('cordonBinding', { params: { id: box.bindingId }, body: {} })
        return { params: { id: box.bindingId } }
      },
    },
  ],
  pauseProject: [
    { says: 'with an expiry that runs', asking: () => ({ params: { name: 'default' }, body: { for_ms: 60_000 } }) },
  ],
  resumeProject: [
    {
      says: 'one that is paused',
      async asking({ rig }) {
        await rig.call('pauseProject', { params: { name: 'default' }, body: {} })
        return { params: { name: 'default' } }
      },
    },
  ],
  reinstateWorker: [
    {
      says: 'one in quarantine',
      async asking({ rig, box }) {
        await rig.call('sendSnapshot', { token: box.token, body: snapshot(box) })
        return { params: { id: box.workerId }, body: {} }
      },
    },
  ],
  revokeWorker: [{ says: 'with a live claim', asking: ({ box }) => ({ params: { id: box.workerId } }) }],
  rotatePondKey: [
    {
      says: 'twice',
      asking: () => ({ body: {} }),
      changes: {
        tables: ['audit'],
        why: 'a second rotation is a second rotation; each is signed by the keys before it',
      },
    },
  ],
  createPairingCode: [{ says: 'a code', asking: () => ({ body: {} }), changes: twoWant('code', ['codes']) }],
  revokePairingCode: [
    { says: 'a code', asking: async ({ rig }) => ({ params: { id: (await createCode(rig)).parsed.id } }) },
  ],
  revokeBinding: [{ says: 'with a live claim', asking: ({ box }) => ({ params: { id: box.bindingId } }) }],
} satisfies Readonly<Partial<Record<RouteName, readonly Row[]>>>
