// The whole story in one go: a pond, a paired swarm, a job that works, one that fails, one that is cancelled. Leaves nothing behind.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const bin = (name) => join(root, 'dist', 'bin', `${name}.js`)
const home = await mkdtemp(join(tmpdir(), 'pond-demo-'))
const env = {
  ...process.env,
  POND_DATA: join(home, 'pond'),
  POND_HOME: join(home, 'client'),
  SWARM_HOME: join(home, 'swarm'),
}
const running = []

/** Starts a program that stays, without showing what it says unless it ends early. */
function start(name, args) {
  const child = spawn(process.execPath, [bin(name), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  child.once('exit', (code) => {
    if (code !== 0 && !stopping) console.error(`${name} ended with ${code}:\n${said}`)
  })
  return child
}

/** Runs one command as a person would, shows it and what it prints, and answers its exit code. */
async function type(line, args = line.split(' ').slice(1)) {
  console.log(`\n$ ${line}`)
  const child = spawn(process.execPath, [bin(line.split(' ')[0]), ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  console.log(`(exit code ${code})`)
  return code
}

/** Runs one command quietly and answers its JSON. */
async function ask(name, ...args) {
  const child = spawn(process.execPath, [bin(name), ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}`)
  return JSON.parse(text)
}

let stopping = false
async function stop() {
  stopping = true
  for (const child of running.splice(0).reverse()) {
    if (child.exitCode !== null) continue
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  await rm(home, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => stop().finally(() => process.exit(130)))
}

function expect(what, got, wanted) {
  if (got !== wanted) throw new Error(`${what}: expected ${wanted}, got ${got}`)
}

try {
  const pond = start('pond', ['serve', '--port', '0', '--json'])
  const [line] = await once(createInterface(pond.stdout), 'line')
  const { url } = JSON.parse(line)
  env.POND_URL = url
  env.POND_TOKEN_FILE = join(home, 'pond', 'admin-token')
  console.log(`A pond listens on ${url}, its data lies in ${home}.`)

  const { code } = await ask('pond', 'pairing', 'create', '--json')
  expect(
    'pairing',
    await type('swarm pair URL#CODE --name demo', ['pair', `${url}#${code}`, '--name', 'demo', '--yes']),
    0,
  )
  // Its jobs read this project, wherever it lies, which a sandbox could keep from them; so its owner allows sealed ones without.
  start('swarm', ['run', '--slots', '2', '--sandbox', 'none', '--allow-unsandboxed'])

  const folder = join(root, 'node_modules', 'zod')
  const pack = ['run', '--', process.execPath, join(here, 'pack.mjs'), folder]
  expect('the working job', await type('pond run -- node pack.mjs node_modules/zod', pack), 0)
  await type('pond result')

  const fails = ['run', '--', 'sh', '-c', 'echo "no such luck" >&2; exit 3']
  expect('the failing job', await type(`pond run -- sh -c 'echo "no such luck" >&2; exit 3'`, fails), 3)

  const { id } = await ask('pond', 'run', '--detach', '--json', '--', 'sh', '-c', 'echo started; sleep 600')
  console.log(`\n$ pond run --detach -- sh -c 'echo started; sleep 600'\n${id}`)
  expect('cancel', await type(`pond cancel ${id}`), 0)
  await type(`pond logs -f ${id}`)

  await type('pond ps --all')
  await type(`pond show ${id}`)
} catch (error) {
  console.error(`\nThe demo failed: ${error.message}`)
  process.exitCode = 1
} finally {
  await stop()
}
console.log(existsSync(home) ? `\n${home} is still there.` : '\nThe pond, the swarm and their folder are gone.')
