// control.sock over a real unix socket: who may ask, what is answered, and what a damaged call gets.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { serveControl } from '../../src/orchestrator/control.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

interface Reply {
  readonly status: number | undefined
  readonly body: unknown
}

type Call = (method: string, path: string, body?: string) => Promise<Reply>

const callerOf =
  (socketPath: string): Call =>
  (method, path, body) =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath, method, path }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece) => {
          text += piece
        })
        response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }))
      })
      asked.on('error', reject)
      asked.end(body)
    })

t.test('status, health, pause, resume and drain', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'swarm-control-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'control.sock')
  await writeFile(path, 'left by a swarm that was killed')
  const call = callerOf(path)
  const rig = await createSwarmRig()
  const life = await rig.start()
  const control = await serveControl(path, life.swarm)
  t.equal((await stat(path)).mode & 0o777, 0o600)

  t.match(await call('GET', '/status'), { status: 200, body: { state: 'ready', slots: 2 } })
  t.match(await call('GET', '/healthz'), { status: 503, body: { ok: false, missed_holds: 0, turning: true } })
  await rig.clock.advance(51_000)
  t.match(await call('GET', '/healthz'), { status: 200, body: { ok: true, since_poll_ms: 1000 } })
  t.match(await call('POST', '/pause'), { status: 200, body: { state: 'paused' } })
  t.match(await call('POST', '/resume'), { status: 200, body: { state: 'ready' } })
  t.match(await call('GET', '/nothing'), { status: 404 })
  const { rulesPath } = rig.home
  await rig.disk.replace(rulesPath, '{"paus')
  t.match(await call('POST', '/pause'), {
    status: 507,
    body: {
      error: { code: 'not_kept', message: /rules.json could not be changed: .*JSON/ },
      status: { state: 'paused' },
    },
  })
  await rig.disk.remove(rulesPath)
  t.match(await call('POST', '/resume'), { status: 200, body: { state: 'ready' } })
  t.match(await call('POST', '/drain', '{"deadline_ms": -1}'), {
    body: { error: { message: 'deadline_ms: must be a whole number, at least 0' } },
  })
  for (const body of ['{"deadline_ms": -1}', '{"dead', '{"other": 1}', 'x'.repeat(10_000)])
    t.match(await call('POST', '/drain', body), { status: 400, body: { error: { code: 'malformed' } } })
  t.equal(life.swarm.status().state, 'ready')
  t.match(await call('POST', '/drain', '{"deadline_ms": 1000}'), { status: 202, body: { state: 'draining' } })
  await rig.clock.advance(6000)
  t.same(life.end, { reason: 'drained' })

  await control.close()
  await t.rejects(call('GET', '/status'))
})
