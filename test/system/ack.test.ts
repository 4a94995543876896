// The order of system calls in a real pond: what a reply acknowledges was made durable before the reply was written to its socket.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRig } from '../harness/process-rig.ts'

interface Syscall {
  /** Lines of the trace where it began and where it returned. */
  readonly began: number
  readonly returned: number
  readonly text: string
}

/** Puts together what strace cut apart because another thread came in between. */
function parseTrace(trace: string): readonly Syscall[] {
  const calls: Syscall[] = []
  const open = new Map<string, { readonly began: number; readonly text: string }>()
  for (const [line, whole] of trace.split('\n').entries()) {
    const [, thread = '', text = ''] = /^(\d+) +(.*)$/.exec(whole) ?? []
    const before = open.get(thread)
    if (text.endsWith('<unfinished ...>')) open.set(thread, { began: line, text })
    else if (/^<\.\.\. \w+ resumed>/.test(text) && before) {
      calls.push({ began: before.began, returned: line, text: before.text + text })
      open.delete(thread)
    } else calls.push({ began: line, returned: line, text })
  }
  return calls
}

interface Exchange {
  readonly request: RegExp
  readonly reply: RegExp
  /** The file whose bytes the reply acknowledges. */
  readonly file: RegExp
}

/** Each request is followed, in this order, by a write to the file, its sync with result 0, and the first byte of the reply. */
function checkOrder(t: Test, calls: readonly Syscall[], { request, reply, file }: Exchange): void {
  const asked = calls.filter(({ text }) => text.startsWith('read(') && request.test(text))
  t.ok(asked.length > 0, `${asked.length} such requests`)
  for (const { text, returned: from } of asked) {
    const socket = /<TCP:\[[^\]]+\]>/.exec(text)?.[0] ?? 'no socket'
    const told = calls.find((it) => it.began > from && it.text.includes(socket) && reply.test(it.text))
    if (!told) return void t.fail(`no reply on ${socket}`)
    const between = calls.filter((it) => it.began > from && it.began < told.began && file.test(it.text))
    const written = between.filter((it) => /^pwritev?(64|2)?\(/.test(it.text)).at(-1)
    if (!written) return void t.fail('nothing was written before the reply')
    const synced = between.find((it) => /^f(data)?sync\(/.test(it.text) && it.began > written.returned)
    t.match(synced?.text, / = 0$/, `line ${written.began}: written`)
    t.ok(synced && synced.returned < told.began, `line ${synced?.returned}: synced, line ${told.began}: told`)
  }
}

const rig = await createRig()
t.teardown(() => rig.close())
const trace = join(rig.folder, 'trace')
const calls = 'trace=read,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync'
await rig.startPond({ under: ['strace', '-f', '-qq', '-yy', '-s', '400', '-o', trace, '-e', calls] })
const swarm = await rig.startSwarm(await rig.pair('ack', ['--slots', '1']))
for (const line of ['one', 'two', 'three']) await rig.ended(await rig.submit({ command: ['echo', line] }))
swarm.signal('SIGTERM')
await swarm.exited
process.kill(rig.pondPid(), 'SIGTERM')
await rig.pond().exited
const traced = parseTrace(readFileSync(trace, 'utf8'))

t.test('a submit', async (t) => {
  const file = /pond\.db-wal>/
  checkOrder(t, traced, { request: /"POST \/v1\/jobs HTTP/, reply: /"HTTP\/1\.1 201/, file })
})

t.test('a chunk', async (t) => {
  const file = /\/streams\/[^>]*\/stdout>/
  checkOrder(t, traced, { request: /"POST \/orch\/jobs\/[^/]+\/chunk\?/, reply: /"HTTP\/1\.1 200/, file })
})

t.test('a word', async (t) => {
  const file = /pond\.db-wal>/
  checkOrder(t, traced, { request: /"POST \/orch\/states HTTP/, reply: /"HTTP\/1\.1 200/, file })
})
