// What pond and swarm ask of V8 is known to it: an unknown flag would change nothing, and be told on the stderr of every start.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const file = new URL('../../src/system/heap.ts', import.meta.url)

t.test('V8 knows what it is asked for', async (t) => {
  const program = `import { keepHeap } from ${JSON.stringify(file.href)}; keepHeap(); console.log('asked')`
  const argv = ['--import', 'tsx', '--input-type=module', '--eval', program]
  const cwd = fileURLToPath(new URL('../..', import.meta.url))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, argv, { cwd })
  t.equal(stdout, 'asked\n')
  t.equal(stderr, '')
})
