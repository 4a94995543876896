// What a worker has, in one line.
import t from 'tap'
import { describeResources } from '../../src/cli/resource.ts'

t.test('what is told, and nothing of what is not', async (t) => {
  t.equal(describeResources({}), undefined)
  t.equal(describeResources({ cpus: 2, disk_bytes: 3 * 1024 ** 3 }), '2 cores, 3.0 GiB of disk')
  const gpus = [{ uuid: 'GPU-1', model: 'T4' }, { uuid: 'GPU-2' }]
  t.equal(describeResources({ memory_bytes: 1024, gpus }), '1.0 KiB of memory, GPUs T4, GPU-2')
})
