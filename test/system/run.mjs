// Runs the tests of this folder with real parts: installs what package.txt names, builds, then hands every file to tap. A missing part fails.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const root = join(folder, '..', '..')

installPackages()
run(process.execPath, ['test/harness/install.mjs'])
run('npm', ['run', '--silent', 'build'])
const files = readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => join('test', 'system', name))
  .sort()
// One at a time: these tests measure, limit and kill, and would disturb each other.
run('npx', ['tap', '--jobs=1', '--timeout=600', ...process.argv.slice(2), ...files])

function installPackages() {
  const missing = readFileSync(join(folder, 'package.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s+/)[0])
    .filter((name) => !/^Status: install ok installed$/m.test(`${spawnSync('dpkg', ['--status', name]).stdout}`))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) {
    fail(`these packages are missing, and only root can install them: apt-get install ${missing.join(' ')}`)
  }
  process.stderr.write(`installing ${missing.join(' ')}\n`)
  run('apt-get', ['update', '--quiet=2'])
  run('apt-get', ['install', '--yes', '--quiet=2', '--no-install-recommends', ...missing], {
    DEBIAN_FRONTEND: 'noninteractive',
  })
}

function run(command, args, env = {}) {
  const options = { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } }
  const { status, error } = spawnSync(command, args, options)
  if (status !== 0) fail(`${command} ${args.slice(0, 3).join(' ')} failed${error ? `: ${error.message}` : ''}`)
}

function fail(message) {
  process.stderr.write(`test:system: ${message}\n`)
  process.exit(1)
}
