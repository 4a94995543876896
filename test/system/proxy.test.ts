// A swarm that reaches pond only through the HTTP proxy of its environment: it pairs, polls, delivers and leaves by it, and nothing goes past it.
import t from 'tap'
import { routes } from '../../src/protocol/route.ts'
import { startProxy } from '../harness/http-proxy.ts'
import { readStream } from '../harness/job-facts.ts'
import { createRig } from '../harness/process-rig.ts'

const PASSWORD = 'proxy-pass-7391'

t.test('a whole life of a swarm behind a proxy with a password', async (t) => {
  const rig = await createRig()
  t.teardown(() => rig.close())
  await rig.startPond({ flags: ['--poll-hold', '5s'] })
  const proxy = await startProxy(t, { to: Number(new URL(rig.url()).port), password: PASSWORD })
  // No resolver knows this name: whoever goes past the proxy finds nobody.
  const url = 'http://pond.test'
  const env = { HTTP_PROXY: `http://user:${PASSWORD}@127.0.0.1:${proxy.port}` }
  const home = await rig.pair('behind', ['--insecure-http'], { url, env })
  const swarm = await rig.startSwarm(home, ['--insecure-http', '--once'], { env })
  const id = await rig.submit({ command: ['sh', '-c', 'echo through; exit 3'] })
  t.match(await rig.ended(id), { state: 'failed', cause: 'exit', rc: 3 })
  t.equal((await readStream(rig, id, {})).toString(), 'through\n')
  t.strictSame(await swarm.exited, { code: 0, signal: null })
  for (const { path } of [routes.pair, routes.poll, routes.sendSnapshot, routes.sendWords])
    t.ok(
      proxy.asked.some((line) => line.includes(path)),
      path,
    )
  t.notOk(swarm.stderr().includes(PASSWORD), 'its password is in no line of the log')
})
