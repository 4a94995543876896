// The commands that pages show are typed and must work: what a page promises cannot rot.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { commandsOf, readPage, type Typed, typeAll } from './console.ts'

const root = join(import.meta.dirname, '..', '..')

function check(t: Tap, typed: readonly Typed[], expected: readonly (readonly [string, RegExp])[]): void {
  for (const { command, code, said } of typed) t.equal(code, 0, `${command}\n${said}`)
  for (const [start, wanted] of expected) {
    const found = typed.find(({ command }) => command.startsWith(start))
    t.match(found?.said, wanted, `what ${start} said`)
  }
}

type Tap = Pick<typeof t, 'equal' | 'match'>

t.test('README.md', async (t) => {
  const port = await freePort()
  const page = readPage('README.md').replaceAll('7460', String(port))
  const typed = await typeAll(commandsOf(page), { folder: t.testdir(), cwd: '.' })
  t.ok(typed.length >= 10, 'the page has commands')
  check(t, typed, [
    ['pond serve', /listens on/],
    ['pond run', /hello from[\s\S]*exit code 7/],
    ['pond show', /queued → claimed[\s\S]*claimed → running[\s\S]*running → failed/],
    ['swarm rules set', /mains_only\t(open|closed)\ttrue\ton (mains|battery)/],
    ['swarm pause', /lab is paused/],
    ['swarm resume', /lab is ready/],
    ['curl -sN', /^hi$/m],
    ['pond run --credential registry', /^submit\.mjs$[\s\S]*a token of 36 characters: \[redacted\]/m],
    ['pond trust worker lab', /is trusted/],
    ['pond run --credential signing', /^\d+$/m],
    ['pond dead ls', /\texit\t3\t/],
    ['pond replay --label night', /^job_\w+ -> job_\w+$[\s\S]*1 replayed/m],
    ['pond dead rm', /^job_\w+ dismissed$/m],
    ['pond verify', /^proved +worker: that key is checked by you/m],
  ])
})

t.test('examples/hello', async (t) => {
  const typed = await typeAll(commandsOf(readPage('examples/hello/README.md')), {
    folder: t.testdir(),
    cwd: 'examples/hello',
  })
  check(t, typed, [
    ['pond run', /^hello$/m],
    ['pond result', /"greeted": "world"/],
    ['POND_TOKEN_FILE', /hello from a program\njob_\w+ succeeded/],
  ])
})

t.test('examples/demo', async (t) => {
  const child = spawn(process.execPath, [join(root, 'examples', 'demo', 'run.mjs')], {
    env: { ...process.env, TMPDIR: t.testdir() },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text))
  const [code] = await once(child, 'close')
  t.equal(code, 0, said)
  for (const wanted of [
    /100 %/,
    /sha256 of the tree: [0-9a-f]{64}/,
    /no such luck/,
    /\(exit code 3\)/,
    /cancelled/,
    /are gone/,
  ]) {
    t.match(said, wanted)
  }
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('a listening server has a port')
  return address.port
}
