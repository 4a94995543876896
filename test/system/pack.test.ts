// The tarball as a stranger gets it: installed without scripts into an empty folder, with and without the server's part, on every supported Node.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { root } from '../tidy/source.ts'

const run = promisify(execFile)
const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
const folder = await mkdtemp(join(tmpdir(), 'pond-pack-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

/** The oldest that package.json allows, and every line it is tested on. */
const versions = ['20.18.1', '20', '22', '24']

interface PackReport {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

// Scripts stay off: prepack would rebuild dist under the feet of other tests. The runner has built it.
const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root })
const [report] = JSON.parse(packed.stdout) as readonly PackReport[]
if (!report) throw new Error('npm pack reported no tarball')
const tarball = join(folder, report.filename)

t.test('what is in the tarball', async (t) => {
  const paths = report.files.map((file) => file.path)
  for (const path of [
    'dist/bin/pond.js',
    'dist/bin/swarm.js',
    'dist/src/index.d.ts',
    'README.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'LICENSE',
  ]) {
    t.ok(paths.includes(path), path)
  }
  t.strictSame(
    paths.filter((path) => /\.ts$/.test(path) && !path.endsWith('.d.ts')),
    [],
    'no source that Node cannot run',
  )
  t.strictSame(
    paths.filter((path) => /^(test|bench|examples|\.)/.test(path)),
    [],
    'nothing that only the project needs',
  )
})

t.test('the whole package', async (t) => {
  const place = await install('whole', [])
  for (const version of versions) {
    const node = await nodeOf(version)
    await t.test(`on Node ${version}`, async (t) => {
      await helps(t, node, place)
      await imports(t, node, place)
      await serves(t, node, place)
    })
  }
})

t.test("a pool's machine leaves the server's part out", async (t) => {
  const place = await install('pool', ['--omit=optional'])
  t.notOk(existsSync(join(place, 'node_modules', 'fastify')), 'the server is not there')
  for (const version of versions) {
    const node = await nodeOf(version)
    await t.test(`on Node ${version}`, async (t) => {
      await helps(t, node, place)
      const refused = await outcome(node, binOf(place, 'pond'), ['serve', '--data', join(place, 'data')])
      t.ok(refused.code === 1 || refused.code === 2, `pond serve exits ${refused.code}`)
      t.match(refused.stderr, /npm (i|install) .*pond-swarm/, 'and says what to type')
      t.notMatch(refused.stderr, /^\s+at /m, 'without a stack')
    })
  }
})

async function install(name: string, flags: readonly string[]): Promise<string> {
  const place = join(folder, name)
  await mkdir(place)
  await writeFile(join(place, 'package.json'), '{"private": true, "type": "module"}\n')
  await run('npm', ['install', '--ignore-scripts', ...quiet, ...flags, tarball], { cwd: place })
  return place
}

/** As npm links it: its own first lines find the node and ask it for what they need. */
const binOf = (place: string, name: string) => join(place, 'node_modules', '.bin', name)

/** An environment in which `node` is this one. */
const envOf = (node: string) => ({ ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) })

async function nodeOf(version: string): Promise<string> {
  if (`${process.versions.node}.`.startsWith(`${version}.`)) return process.execPath
  const { stdout } = await run(
    'npx',
    ['--yes', '--loglevel=error', '-p', `node@${version}`, 'node', '-p', 'process.execPath'],
    { cwd: folder },
  )
  return stdout.trim()
}

async function outcome(node: string, file: string, args: readonly string[]) {
  const done = run(file, [...args], { cwd: folder, timeout: 30_000, env: envOf(node) })
  return done.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
}

async function helps(t: Test, node: string, place: string): Promise<void> {
  for (const name of ['pond', 'swarm']) {
    const { code, stdout, stderr } = await outcome(node, binOf(place, name), ['--help'])
    t.equal(code, 0, `${name} --help`)
    t.match(stdout, new RegExp(`^Usage: ${name} `), 'its help is on stdout')
    t.equal(stderr, '', 'and nothing else anywhere')
  }
}

async function imports(t: Test, node: string, place: string): Promise<void> {
  const script = join(place, 'import.js')
  await writeFile(script, "await import('pond-swarm')\nawait import('pond-swarm/server')\n")
  const { code, stderr } = await outcome(node, node, [script])
  t.equal(code, 0, `both exports load ${stderr}`)
}

/** Starts the server, reads the line it promises, asks it once, and stops it. */
async function serves(t: Test, node: string, place: string): Promise<void> {
  const data = await mkdtemp(join(place, 'data-'))
  const pond = spawn(binOf(place, 'pond'), ['serve', '--json', '--port', '0', '--data', data], {
    env: envOf(node),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => pond.kill('SIGKILL'))
  const exited = once(pond, 'exit')
  const lines = createInterface({ input: pond.stdout })[Symbol.asyncIterator]()
  const first = await Promise.race([lines.next(), exited.then(([code]) => ({ value: `{"exit": ${code}}` }))])
  const { url } = JSON.parse(String(first.value)) as { url?: string }
  if (!url) return void t.fail(`pond serve said ${first.value}`)
  t.equal((await fetch(`${url.replace(/\/$/, '')}/healthz`)).status, 200, 'it answers')
  pond.kill('SIGTERM')
  t.strictSame(await exited, [0, null], 'SIGTERM stops it cleanly')
}
