// The two MACs of an enrollment: each covers all that is said, under a secret that nothing else has.
import t from 'tap'
import type { BindingId, CodeId, WorkerId } from '../../src/protocol/id.ts'
import { type Enrollment, enrolledMac, enrollmentMac, enrollmentSecret, isEnrolled } from '../../src/seal/enrollment.ts'
import { hashPondKey, pairingSecret } from '../../src/seal/pairing.ts'
import { mutateValue } from '../harness/mutation.ts'

const body = '0123456789abcdefghjkmnpqrs'
const codeId = `cod_${body}` as CodeId
const tokenKey = Buffer.alloc(32, 1)
const key = (byte: number) => Buffer.alloc(32, byte).toString('base64url')
const secret = enrollmentSecret(tokenKey, codeId)
const worker = { sealing_key: key(1), signing_key: key(2), labels: { room: '7' }, resources: { slots: 1 } }
const about: Enrollment = {
  pondKeyHash: hashPondKey(key(9)),
  bindingId: `bnd_${body}` as BindingId,
  codeId,
  said: { name: 'box', worker },
}

t.test('the secret is of one code and one use', async (t) => {
  t.equal(secret.length, 16)
  t.notSame(secret, pairingSecret(tokenKey, codeId))
  t.notSame(secret, enrollmentSecret(tokenKey, `cod_${body.slice(0, -1)}t` as CodeId))
  t.notSame(secret, enrollmentSecret(Buffer.alloc(32, 2), codeId))
})

t.test("the worker's MAC covers pond, binding, code, name, keys, labels and resources", async (t) => {
  const mac = enrollmentMac(secret, about)
  t.equal(enrollmentMac(secret, { ...about }), mac)
  const others: readonly Enrollment[] = [
    { ...about, pondKeyHash: hashPondKey(key(8)) },
    { ...about, bindingId: `bnd_${body.slice(0, -1)}t` as BindingId },
    { ...about, codeId: `cod_${body.slice(0, -1)}t` as CodeId },
    { ...about, said: { ...about.said, name: 'other' } },
    { ...about, said: { ...about.said, worker: { ...worker, sealing_key: key(3) } } },
    { ...about, said: { ...about.said, worker: { ...worker, signing_key: key(3) } } },
    { ...about, said: { ...about.said, worker: { ...worker, labels: {} } } },
    { ...about, said: { ...about.said, worker: { ...worker, resources: { slots: 2 } } } },
  ]
  for (const other of others) t.not(enrollmentMac(secret, other), mac)
  for (const { what, value } of mutateValue(about.said)) {
    t.not(enrollmentMac(secret, { ...about, said: value as Enrollment['said'] }), mac, what)
  }
  t.not(enrollmentMac(Buffer.alloc(16), about), mac, 'another secret')
})

t.test("pond's MAC covers the worker's id and pond's key, which is also the one that the code names", async (t) => {
  const code = { id: codeId, secret, pondKeyHash: hashPondKey(key(9)) }
  const said = { worker_id: `wrk_${body}` as WorkerId, pond_key: key(9) }
  const good = { ...said, mac: enrolledMac(secret, codeId, said) }
  t.ok(isEnrolled(code, good))
  const swapped = { ...said, pond_key: key(8) }
  t.notOk(isEnrolled(code, { ...good, pond_key: key(8) }))
  t.notOk(isEnrolled(code, { ...swapped, mac: enrolledMac(secret, codeId, swapped) }), 'not the printer, MAC or not')
  t.notOk(isEnrolled(code, { ...good, worker_id: `wrk_${body.slice(0, -1)}t` as WorkerId }))
  t.notOk(isEnrolled({ ...code, secret: Buffer.alloc(16) }, good))
})
