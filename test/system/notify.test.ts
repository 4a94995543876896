// A real swarm under a service manager: a datagram socket, as systemd's is, hears that it is ready, alive and stopping.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { createNotify } from '../../src/executor/notify.ts'
import { createRig } from '../harness/process-rig.ts'

const rig = await createRig()
t.teardown(() => rig.close())

/** Prints what each datagram says, on one line. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    print(s.recv(65536).decode().replace('\\n', ' '), flush=True)
`

async function listen(name: string) {
  const socket = join(rig.folder, name)
  const python = spawn('python3', ['-c', receiver, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => python.kill())
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
  await lines.next()
  return {
    socket,
    /** Skips the barriers, with which systemd-notify waits until it was heard. */
    async hears(pattern: RegExp): Promise<string> {
      for (;;) {
        const { value, done } = await lines.next()
        if (done) throw new Error(`nothing like ${pattern} came`)
        if (pattern.test(value)) return value
      }
    },
  }
}

t.test('swarm tells that it is ready, how it fares, and that it stops', async (t) => {
  await rig.startPond()
  const home = await rig.pair('watched', ['--slots', '1'])
  const manager = await listen('manager')
  const swarm = await rig.startSwarm(home, [], {
    env: { NOTIFY_SOCKET: manager.socket, WATCHDOG_USEC: '1000000' },
  })
  t.match(await manager.hears(/READY=1/), /STATUS=.*WATCHDOG=1/)
  t.match(await manager.hears(/polled \d/), /STATUS=ready; 0 jobs; polled \d+ s ago/)
  t.match(await manager.hears(/WATCHDOG=1/), /WATCHDOG=1/, 'again and again')
  const id = await rig.submit({ command: ['sleep', '2'] })
  await rig.ended(id, ({ state }) => state === 'running')
  swarm.signal('SIGTERM')
  t.match(await manager.hears(/draining/), /^STATUS=draining; 1 jobs.*WATCHDOG=1/, 'not yet stopping: it has a job')
  t.match(await manager.hears(/STOPPING=1/), /STATUS=\w+; 0 jobs/)
  t.strictSame(await swarm.exited, { code: 0, signal: null })
})

t.test('nobody listens: that is told, and nothing else happens', async (t) => {
  t.equal(await createNotify(join(rig.folder, 'nobody'))(['READY=1']), 'unheard')
})

t.test('there is nothing to tell it with', async (t) => {
  const { PATH } = process.env
  t.teardown(() => Object.assign(process.env, { PATH }))
  process.env.PATH = rig.folder
  t.equal(await createNotify(join(rig.folder, 'nobody'))(['READY=1']), 'absent')
})
