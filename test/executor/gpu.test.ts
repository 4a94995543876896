// The devices of a machine as their tools tell them, and that a job is shown its own and no others.
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { filesFor, findDevices, variablesOf } from '../../src/executor/gpu.ts'
import { makeExecutor, makeFolder, makePlan, watch } from './workshop.ts'

const NVIDIA = `GPU-11111111-aaaa, NVIDIA A100-SXM4-80GB, 81920
GPU-22222222-bbbb, NVIDIA GH200, [N/A]
`
const AMD = JSON.stringify({
  card0: { 'Unique ID': '0xAB12', 'Card Series': 'Instinct MI210', 'VRAM Total Memory (B)': '68702699520' },
  card1: { 'Unique ID': 'N/A', 'Card Series': 'Radeon' },
  system: { 'Driver version': '6.7' },
})

/** Programs that print what a vendor's tool would. */
function tools(t: Test, texts: Readonly<Record<string, string>>): string {
  const folder = makeFolder(t)
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\ncat <<'END'\n${text}\nEND\n`, { mode: 0o755 })
  }
  return `${folder}:/usr/bin:/bin`
}

t.test(
  'each tool tells its devices; without one, or with one that tells nothing of sense, there are none',
  async (t) => {
    const both = await makeExecutor({ tools: tools(t, { 'nvidia-smi': NVIDIA, 'rocm-smi': AMD }) })
    t.strictSame(both.gpus, [
      { uuid: 'GPU-11111111-aaaa', model: 'NVIDIA A100-SXM4-80GB', vram_bytes: 81920 * 1024 ** 2 },
      { uuid: 'GPU-22222222-bbbb', model: 'NVIDIA GH200' },
      { uuid: 'GPU-000000000000ab12', model: 'Instinct MI210', vram_bytes: 68702699520 },
    ])
    const none = await makeExecutor({ tools: makeFolder(t) })
    t.strictSame(none.gpus, [])
    const broken = await makeExecutor({
      tools: tools(t, { 'nvidia-smi': 'No devices were found', 'rocm-smi': 'oops' }),
    })
    t.strictSame(broken.gpus, [])
  },
)

t.test('a job is shown its own devices and no others, whatever it asks for itself', async (t) => {
  const executor = await makeExecutor({ tools: tools(t, { 'nvidia-smi': NVIDIA, 'rocm-smi': AMD }) })
  const shown = async (gpus?: readonly string[]) => {
    const plan = makePlan(['sh', '-c', 'echo $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES'], {
      env: { CUDA_VISIBLE_DEVICES: '0,1' },
      ...(gpus && { gpus }),
    })
    const { execution, stdout } = await watch(executor, plan)
    await execution.exited
    await execution.release()
    return stdout().toString().trim()
  }
  t.equal(await shown(), '-1 -1')
  t.equal(await shown(['GPU-22222222-bbbb']), 'GPU-22222222-bbbb -1')
  t.equal(
    await shown(['GPU-11111111-aaaa', 'GPU-000000000000ab12', 'GPU-22222222-bbbb']),
    'GPU-11111111-aaaa,GPU-22222222-bbbb GPU-000000000000ab12',
  )
})

t.test('a machine without devices says nothing of them', async (t) => {
  t.strictSame(variablesOf([]), {})
  t.strictSame(variablesOf([{ uuid: 'GPU-1', kind: 'amd' }]), { ROCR_VISIBLE_DEVICES: '-1' })
})

t.test('in bubblewrap the files of the others are not even there', async (t) => {
  const driver = makeFolder(t)
  for (const [name, uuid, minor] of [
    ['0000:01:00.0', 'GPU-11111111-aaaa', 0],
    ['0000:02:00.0', 'GPU-22222222-bbbb', 1],
  ] as const) {
    mkdirSync(join(driver, name))
    writeFileSync(
      join(driver, name, 'information'),
      `Model: \t\t NVIDIA\nGPU UUID: \t ${uuid}\nDevice Minor: \t ${minor}\n`,
    )
  }
  const run = async () => NVIDIA
  const devices = await findDevices({ run, failed() {}, path: tools(t, { 'nvidia-smi': '' }), driver })
  t.match(devices, [{ node: 'nvidia0' }, { node: 'nvidia1' }])
  const dev = makeFolder(t)
  for (const name of ['nvidia0', 'nvidia1', 'nvidiactl', 'dri', 'null']) writeFileSync(join(dev, name), '')
  const files = (own?: readonly string[]) =>
    filesFor(devices, own, dev)
      .map((path) => basename(path))
      .sort()
  t.strictSame(files(), ['dri', 'nvidiactl'])
  t.strictSame(files(['GPU-22222222-bbbb']), ['dri', 'nvidia1', 'nvidiactl'])
})
