// A URL that is really some other web page, and a second program where only one may be: refused in plain words, and no token goes astray.
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRig, runProgram } from '../harness/process-rig.ts'

const page = '<!doctype html><title>Welcome</title><p>It works.'
const token = 'pond_adm_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'

interface Site {
  readonly url: string
  readonly heard: readonly { readonly request: IncomingMessage; readonly body: string }[]
  close(): Promise<void>
}

async function openSite(t: Test, answer: RequestListener, port = 0): Promise<Site> {
  const heard: { request: IncomingMessage; body: string }[] = []
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      heard.push({ request, body: Buffer.concat(parts).toString() })
      answer(request, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  t.teardown(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, close }
}

const html =
  (status: number): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'text/html' }).end(page)

const sendOn =
  (target: string): RequestListener =>
  (request, response) =>
    response.writeHead(307, { location: `${target}${request.url}` }).end()

const rig = await createRig()
t.teardown(() => rig.close())
await rig.startPond()
const home = await rig.pair('hostile', ['--slots', '1'])

const answers = (other: Site) =>
  [
    ['HTML with 200', html(200), /not pond's/],
    ['HTML with 404', html(404), /not pond's/],
    ['a redirect to another host', sendOn(other.url), /not followed/],
  ] as const

t.test('pond run', async (t) => {
  const other = await openSite(t, html(200))
  for (const [what, answer, says] of answers(other)) {
    const site = await openSite(t, answer)
    const env = { POND_URL: site.url, POND_TOKEN: token, POND_HOME: join(rig.folder, 'other') }
    const { code, stdout, stderr } = await runProgram('pond', ['run', '--patience', '2s', '--', 'true'], { env })
    t.equal(code, 75, what)
    t.equal(stdout, '')
    t.match(stderr, says)
    t.match(stderr, /next: .*URL/)
    t.notMatch(stderr, /^\s+at /m, 'no stack')
    t.notMatch(stderr, token, 'no token')
  }
  t.equal(other.heard.length, 0, 'the other host heard nothing')
})

t.test('swarm pair', async (t) => {
  const other = await openSite(t, html(200))
  const made = await rig.client.persist('createPairingCode', { body: { project: 'default' } })
  if (!made.ok) throw new Error(made.error.message)
  const { code } = made.reply
  const secret = code.split('.')[1] ?? code
  for (const [what, answer, says] of answers(other)) {
    const site = await openSite(t, answer)
    const words = ['pair', `${site.url}#${code}`, '--home', join(rig.folder, 'victim'), '--yes']
    const ended = await runProgram('swarm', words)
    t.equal(ended.code, 75, what)
    t.match(ended.stderr, says)
    t.notMatch(ended.stderr, /^\s+at /m, 'no stack')
    t.equal(site.heard.length, 1)
    t.notMatch(site.heard.map(({ body }) => body).join(), secret, "the code's secret does not travel")
  }
  t.equal(other.heard.length, 0, 'the other host heard nothing')
  const { code: left } = await runProgram('swarm', ['run', '--home', join(rig.folder, 'victim')])
  t.equal(left, 1, 'nothing was paired')
})

t.test('a second program where only one may be', async (t) => {
  const swarm = await rig.startSwarm(home)
  const second = await runProgram('swarm', ['run', '--home', home])
  t.equal(second.code, 1)
  t.match(second.stderr, new RegExp(`a swarm already runs on ${home}[^]*process ${swarm.pid}[^]*next:`))
  swarm.signal('SIGTERM')
  t.strictSame(await swarm.exited, { code: 0, signal: null })

  const sameData = await runProgram('pond', ['serve', '--data', rig.data, '--port', '0'])
  t.equal(sameData.code, 1)
  t.match(sameData.stderr, new RegExp(`a pond already runs on ${rig.data}[^]*process ${rig.pondPid()}[^]*next:`))

  const port = new URL(rig.url()).port
  const samePort = await runProgram('pond', ['serve', '--data', join(rig.folder, 'elsewhere'), '--port', port])
  t.equal(samePort.code, 1)
  t.match(samePort.stderr, new RegExp(`could not listen on 127.0.0.1 port ${port}[^]*another program[^]*--port 0`))
  t.equal((await fetch(`${rig.url()}/healthz`)).status, 200, 'the first one is not disturbed')
})

t.test('swarm run: its pond became another web page, and comes back', async (t) => {
  const port = Number(new URL(rig.url()).port)
  rig.pond().signal('SIGTERM')
  t.strictSame(await rig.pond().exited, { code: 0, signal: null })
  const other = await openSite(t, html(200))
  for (const [what, answer, says] of answers(other)) {
    const site = await openSite(t, answer, port)
    const swarm = await rig.startSwarm(home)
    const [line] = await swarm.says(/.*"event":"poll_failed".*/)
    t.match(line, says, what)
    swarm.signal('SIGTERM')
    t.strictSame(await swarm.exited, { code: 0, signal: null }, 'it can still be stopped')
    await site.close()
  }
  t.equal(other.heard.length, 0, 'the other host heard nothing')
  const swarm = await rig.startSwarm(home)
  await swarm.says(/"event":"poll_failed"/)
  await rig.startPond()
  const job = await rig.ended(await rig.submit({ command: ['sh', '-c', 'exit 4'] }))
  t.match(job, { cause: 'exit', rc: 4 }, 'nothing has to be done by hand')
})
