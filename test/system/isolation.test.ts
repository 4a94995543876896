// A job that means harm gets nothing of swarm's, of the owner's or of other jobs', in every sandbox; without one it does, so that this can fail.
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { HostOrder, HostReport } from './fixture/isolation-host.ts'

/** The user of a swarm that is not root; nobody of this machine. */
const USER = 64_999

const shared = mkdtempSync(join(tmpdir(), 'pond-isolation-'))
t.teardown(() => rmSync(shared, { recursive: true, force: true }))
chmodSync(shared, 0o755)
const setuid = join(shared, 'setuid-cat')
copyFileSync('/bin/cat', setuid)
chmodSync(setuid, 0o4755)
const rootFile = join(shared, 'of-root')
writeFileSync(rootFile, `pond-loot-root-${'0'.repeat(32)}`, { mode: 0o600 })

interface Way extends Pick<HostOrder, 'sandbox' | 'launchers'> {
  readonly user: number
}

/** The host with its own user, on a folder of its own. */
async function steal(t: Test, { user, ...way }: Way): Promise<HostReport> {
  const folder = mkdtempSync(join(shared, 'host-'))
  chmodSync(folder, 0o711)
  mkdirSync(join(folder, 'tmp'))
  for (const path of [folder, join(folder, 'tmp')]) chownSync(path, user, user)
  const order: HostOrder = { ...way, folder, setuid, rootFile }
  const host = fileURLToPath(new URL('fixture/isolation-host.ts', import.meta.url))
  const words = ['--reuid', `${user}`, '--regid', `${user}`, '--clear-groups', process.execPath, '--import=tsx', host]
  const child = spawn('setpriv', [...words, JSON.stringify(order)], {
    // One more than it knows of, as a supervisor may leave it.
    stdio: ['ignore', 'pipe', 'pipe', openSync(rootFile, 'r')],
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      TMPDIR: join(folder, 'tmp'),
      SWARM_SECRET: `pond-loot-swarm-${'1'.repeat(32)}`,
    },
  })
  if (!child.stdout || !child.stderr) throw new Error('the host has no pipes')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  if (stdout === '') throw new Error(stderr)
  const report: HostReport = JSON.parse(stdout)
  t.equal(report.sandbox, way.sandbox)
  t.equal(report.lines.at(-1), 'done', `the thief tried everything ${report.stderr}`)
  t.strictSame(report.boxesLeft, [])
  return report
}

const held: Readonly<Record<string, Way>> = {
  'uid, in berths of Python': { sandbox: 'uid', launchers: ['python3'], user: 0 },
  'uid, in berths of Perl': { sandbox: 'uid', launchers: ['perl'], user: 0 },
  'uid, spawned': { sandbox: 'uid', launchers: [], user: 0 },
  bubblewrap: { sandbox: 'bubblewrap', user: USER },
}
for (const [name, way] of Object.entries(held)) {
  t.test(`${name}: the thief gets nothing`, async (t) => {
    const { lines, taken, victim, next, neighbourLives, survivors } = await steal(t, way)
    t.strictSame(lines, ['done'])
    t.equal(survivors, 0, 'what it left running was killed')
    t.notMatch(taken, 'pond-loot', 'nor does swarm hand it out')
    t.strictSame(victim, ['precious'], 'nothing else was removed')
    t.ok(neighbourLives)
    t.match(next, /\n0\nunharmed\n$/, 'the next job finds nothing of it')
  })
}

const open: Readonly<Record<string, Way>> = {
  'none, as root': { sandbox: 'none', user: 0 },
  'none, as another user': { sandbox: 'none', user: USER },
}
for (const [name, way] of Object.entries(open)) {
  t.test(`${name}: the same thief gets all of it`, async (t) => {
    const { lines, survivors } = await steal(t, way)
    if (way.user === 0) t.equal(survivors, 0, 'its cgroup holds what it left running')
    const got = new Set(lines.map((line) => line.split(' ').slice(0, 2).join(' ')))
    const kinds = ['env', 'file', 'input', 'journal', 'keys', 'left', 'owner', 'root', 'swarm', 'victim']
    for (const kind of kinds.filter((it) => it !== 'file'))
      t.ok(got.has(`loot ${kind}`), `${kind} ${[...got].join(', ')}`)
    for (const deed of ['ptrace', 'signal', '/proc/PID/fd', 'pidfd_getfd']) t.ok(got.has(`breach ${deed}`), deed)
  })
}
