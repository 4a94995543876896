// The flags of a job, as they arrive at pond.
import t from 'tap'
import type { JobSpec } from '../../../src/protocol/job.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { errorReply } from '../../harness/http-reply.ts'

t.test('the jobs that it waits for', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = (call) => (call.name === 'submitJob' ? errorReply('forbidden', 'seen') : undefined)
  await pond(io, 'submit', '--after', 'job_a', '--after', 'job_b', '--after-end', 'job_c', '--', 'x')
  t.match(io.pond.calls.at(-1)?.body, { after: ['job_a', 'job_b', { job: 'job_c', on: 'end' }] })
})

t.test('what its worker must have', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = (call) => (call.name === 'submitJob' ? errorReply('forbidden', 'seen') : undefined)
  const asked = async (...flags: string[]) => {
    await pond(io, 'run', ...flags, '--', 'x')
    return (io.pond.calls.at(-1)?.body as JobSpec | undefined)?.requires
  }
  const labels = ['--require', 'ssd', '--require', 'zone=a=b', '--require', 'tier>=2.5', '--require', 'age<=-1']
  t.strictSame(await asked(...labels), {
    labels: { ssd: { op: 'exists' }, zone: 'a=b', tier: { op: 'gte', value: 2.5 }, age: { op: 'lte', value: -1 } },
  })
  t.strictSame(await asked('--cpus', '0.5', '--memory', '2G', '--disk', '3G', '--os', 'linux', '--arch', 'arm64'), {
    ...{ cpus: 0.5, memory_bytes: 2 * 1024 ** 3, disk_bytes: 3 * 1024 ** 3, os: 'linux', arch: 'arm64' },
  })
  t.strictSame(await asked('--gpu-model', 'A100', '--gpu-memory', '40G'), {
    gpus: { count: 1, model: 'A100', min_vram_bytes: 40 * 1024 ** 3 },
  })
  t.equal(await asked(), undefined)
  const sent = io.pond.calls.length
  for (const wrong of ['=a', '', 'tier>=high', 'tier>9', 'tier<4', 'tier==3', 'tier=']) {
    t.equal(await pond(io, 'run', '--require', wrong, '--', 'x'), 2, wrong)
    t.equal(io.printed().err.includes(`'--require <label>' argument '${wrong}' is invalid. `), true)
  }
  t.equal(io.pond.calls.length, sent, 'nothing was sent')
  t.equal(await pond(io, 'run', '--cpus', 'many', '--', 'x'), 2)
  t.strictSame(await asked('--sandbox', 'uid'), { sandbox: 'uid' })
  for (const [flag, wrong, right] of [
    ['--os', 'Linux', 'linux'],
    ['--os', 'macos', 'darwin'],
    ['--arch', 'x86_64', 'x64'],
    ['--arch', 'aarch64', 'arm64'],
    ['--sandbox', 'bwrap', 'bubblewrap'],
  ] as const) {
    t.equal(await pond(io, 'run', flag, wrong, '--', 'x'), 2)
    t.match(io.printed().err, new RegExp(`${flag} .*${wrong}.* Allowed choices are .*\\b${right}\\b`))
  }
})
