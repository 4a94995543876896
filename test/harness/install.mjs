// Brings node_modules to what package-lock.json names, and does nothing when it is there already. Needs Node alone: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
/** What `tap build` leaves behind; removed before an install, so that a broken install builds again. */
const builtMark = join(root, '.tap', 'plugins')

refuseOldNode()
const missing = missingPackages()
if (missing.length > 0) {
  process.stderr.write(`installing: ${missing.length} packages of package-lock.json are not there (${missing[0]}, …)\n`)
  rmSync(builtMark, { recursive: true, force: true })
  run(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
}
// tap compiles its plugin list once. Left to itself it does so during the first run, which then still has the old list.
if (!existsSync(builtMark)) run(['exec', '--loglevel=error', '--', 'tap', 'build'])

function refuseOldNode() {
  const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)
  if (major * 1e6 + minor * 1e3 + patch >= 20_018_001) return
  process.stderr.write(`Node ${process.versions.node} is too old: 20.18.1 or newer is needed.\n`)
  process.exit(1)
}

/** Compared by content, not by time: git, copies and npm itself touch the two files in any order. */
function missingPackages() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  const present = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  return Object.entries(wanted)
    .filter(([path, entry]) => path !== '' && !(entry.optional && (entry.os || entry.cpu || entry.libc)))
    .filter(([path, entry]) => present[path]?.version !== entry.version || !existsSync(join(root, path)))
    .map(([path, entry]) => `${path.replace(/^.*node_modules\//, '')}@${entry.version}`)
}

function packagesOf(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {}
}

function run(args) {
  const npm = process.env.npm_execpath
  const [command, ...first] = npm ? [process.execPath, npm] : ['npm']
  const { status, error } = spawnSync(command, [...first, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status === 0) return
  process.stderr.write(`npm ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`)
  process.exit(1)
}
