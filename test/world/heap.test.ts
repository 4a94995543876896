// What pond and swarm ask of V8 is known to it: an unknown flag would change nothing, and be told on the stderr of every start. What it takes only at the
// start of the process stands in the first lines of each program, for the shell that starts it.
import { execFile } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const file = new URL('../../src/system/heap.ts', import.meta.url)

t.test('V8 knows what it is asked for', async (t) => {
  const program = `import ${JSON.stringify(file.href)}; console.log('asked')`
  const argv = ['--import', 'tsx', '--input-type=module', '--eval', program]
  const { stdout, stderr } = await run(process.execPath, argv, { cwd: root })
  t.equal(stdout, 'asked\n')
  t.equal(stderr, '')
})

for (const [name, megabytes] of [
  ['pond', 64],
  ['swarm', 32],
] as const) {
  t.test(`${name} starts with the room for what is young that it asks for`, async (t) => {
    const program = join(root, 'dist', 'bin', `${name}.js`)
    const traced = await run('sh', ['-x', program, '--version'])
    const size = `--min-semi-space-size=${megabytes} --max-semi-space-size=${megabytes}`
    t.ok(traced.stderr.includes(`exec node ${size} -- ${program} --version`), traced.stderr)
    const linked = join(t.testdir(), '-a name of npm')
    symlinkSync(program, linked)
    for (const file of [program, linked]) {
      const { stdout, stderr } = await run(file, ['--version'])
      t.match(stdout, /\d+\.\d+\.\d+/)
      t.equal(stderr, '', 'and the shell says nothing of its own')
    }
  })
}
