// The MACs of an enrollment: every field counts, and what one side says never passes for what the other says.
import t from 'tap'
import type { BindingId, CodeId, WorkerId } from '../../src/protocol/id.ts'
import { enrollmentMac, enrollmentReplyMac } from '../../src/seal/enrollment.ts'

const secret = Buffer.alloc(16, 7)
const key = 'A'.repeat(43)
const claim = {
  pond_id: key,
  binding_id: `bnd_${'0'.repeat(26)}` as BindingId,
  code_id: `cod_${'0'.repeat(26)}` as CodeId,
  name: 'gpu',
  worker: { sealing_key: key, signing_key: key, labels: {}, resources: { slots: 1 } },
}
const reply = { code_id: claim.code_id, worker_id: `wrk_${'0'.repeat(26)}` as WorkerId, pond_key: key }

t.test('each field changes it, the order of fields does not', async (t) => {
  const other = `${'B'.repeat(42)}A`
  const macs = [
    enrollmentMac(secret, claim),
    enrollmentMac(Buffer.alloc(16), claim),
    enrollmentMac(secret, { ...claim, pond_id: other }),
    enrollmentMac(secret, { ...claim, binding_id: `bnd_${'1'.repeat(26)}` as BindingId }),
    enrollmentMac(secret, { ...claim, code_id: `cod_${'1'.repeat(26)}` as CodeId }),
    enrollmentMac(secret, { ...claim, name: 'cpu' }),
    enrollmentMac(secret, { ...claim, worker: { ...claim.worker, sealing_key: other } }),
    enrollmentMac(secret, { ...claim, worker: { ...claim.worker, signing_key: other } }),
    enrollmentReplyMac(secret, reply),
    enrollmentReplyMac(secret, { ...reply, code_id: `cod_${'1'.repeat(26)}` as CodeId }),
    enrollmentReplyMac(secret, { ...reply, worker_id: `wrk_${'1'.repeat(26)}` as WorkerId }),
    enrollmentReplyMac(secret, { ...reply, pond_key: other }),
  ]
  t.equal(new Set(macs).size, macs.length)
  t.ok(macs.every((mac) => /^[0-9a-f]{64}$/.test(mac)))
  t.equal(enrollmentMac(secret, Object.fromEntries(Object.entries(claim).reverse()) as typeof claim), macs[0])
})
