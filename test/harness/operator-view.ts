// What a scripted pond shows an operator, for the tests of more than one verb.
import type { RouteName } from '../../src/protocol/route.ts'
import { createFakeIo, type FakeIo } from './fake-io.ts'
import { fakeId } from './fake-pond.ts'

export const PRINT = 'abcd-0123-abcd-0123-abcd-0123-abcd-0123'
export const binding = {
  id: fakeId('bnd', 1),
  name: 'lab',
  project: 'web',
  state: 'active',
  online: true,
  workers: 1,
  claims: 2,
  created_at: 0,
}
export const project = { id: fakeId('prj', 1), name: 'web', weight: 100, created_at: 0 }
export const worker = {
  id: fakeId('wrk', 1),
  name: 'lab',
  binding_id: binding.id,
  project: 'web',
  state: 'quarantined',
  sealing_key: 'a',
  signing_key: 'b',
  fingerprint: 'ab-cd',
  labels: {},
  slots: 4,
  inflight: 0,
}

export function answering(route: RouteName, reply: unknown): FakeIo {
  const io = createFakeIo()
  io.pond.answers[route] = reply
  return io
}
