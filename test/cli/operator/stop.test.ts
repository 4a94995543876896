// Cordons, pauses and the drain of a whole binding against a scripted pond: what they send, what they print.
import t from 'tap'
import { pond } from '../../harness/fake-io.ts'
import { answering, binding, project, worker } from '../../harness/operator-view.ts'

const stop = { at: 0, by: 'admin:key_1', note: 'new kernel', until: 7_200_000 }
const SAID = 'until 1970-01-01T02:00:00Z, by admin:key_1: new kernel'
const two = ['--for', '2h', '--note', 'new kernel'] as const
const asSent = { for_ms: 7_200_000, note: 'new kernel' }

t.test('a worker is cordoned for a while, and its lists say so', async (t) => {
  const cordoned = { ...worker, state: 'cordoned', note: 'new kernel', cordon: { ...stop, of: 'worker' } }
  const io = answering('listAllWorkers', { items: [cordoned] })
  io.pond.answers.cordonWorker = cordoned
  t.equal(await pond(io, 'worker', 'cordon', 'lab', ...two), 0)
  t.match(io.pond.calls.at(-1), { params: { id: worker.id }, body: asSent })
  t.equal(io.printed().out, `${worker.id} (lab) gets nothing new ${SAID}\n`)
  io.writes.length = 0
  t.equal(await pond(io, 'worker', 'cordon', 'lab', '--json'), 0)
  t.strictSame(io.pond.calls.at(-1)?.body, {})
  t.same(JSON.parse(io.printed().out).cordon, cordoned.cordon)
  io.writes.length = 0
  t.equal(await pond(io, 'worker', 'ls'), 0)
  t.match(io.printed().out, /\tcordoned\t.*\tnew kernel\n$/)
  t.equal(await pond(io, 'worker', 'show', 'lab'), 0)
  t.match(io.printed().out, `cordon:      gets nothing new ${SAID}\n`)
})

t.test('taken back, and told where the cordon of its binding stands', async (t) => {
  const io = answering('listAllWorkers', { items: [worker] })
  io.pond.answers.uncordonWorker = worker
  t.equal(await pond(io, 'worker', 'uncordon', 'lab'), 0)
  t.equal(io.printed().out, `${worker.id} (lab) may get jobs again\n`)
  io.writes.length = 0
  io.pond.answers.uncordonWorker = { ...worker, cordon: { at: 0, by: 'admin:key_1', of: 'binding' } }
  t.equal(await pond(io, 'worker', 'uncordon', 'lab'), 0)
  t.equal(io.printed().out, `${worker.id} (lab) gets nothing new, as all of its binding, by admin:key_1\n`)
  t.match(io.printed().err, `pond binding uncordon ${binding.id}`)
})

t.test('a binding is cordoned and drained as a whole', async (t) => {
  const stopped = { ...binding, workers: 2, cordon: stop, draining: 1 }
  const io = answering('listBindings', { items: [stopped, { ...stopped, draining: 2 }] })
  for (const route of ['cordonBinding', 'uncordonBinding', 'drainBinding'] as const) io.pond.answers[route] = stopped
  t.equal(await pond(io, 'binding', 'ls'), 0)
  const [some, all] = io.printed().out.split('\n')
  t.equal(some, `${binding.id}\tlab\tweb\tonline, cordoned, 1 of 2 draining\t2\tnever\t${SAID}`)
  t.match(all, '\tonline, cordoned, draining\t')
  io.writes.length = 0
  t.equal(await pond(io, 'binding', 'cordon', binding.id, ...two), 0)
  t.match(io.pond.calls.at(-1), { params: { id: binding.id }, body: asSent })
  t.equal(await pond(io, 'binding', 'uncordon', binding.id), 0)
  t.equal(await pond(io, 'binding', 'drain', binding.id, '--deadline', '30m', '--note', 'new disk'), 0)
  t.match(io.pond.calls.at(-1), { params: { id: binding.id }, body: { deadline_ms: 1_800_000, note: 'new disk' } })
  const says = [`gets nothing new ${SAID}`, 'may get jobs again', 'drains: 1 of 2 workers']
  t.equal(io.printed().out, says.map((line) => `${binding.id} (lab) ${line}\n`).join(''))
})

t.test('a project is paused and resumed by its name', async (t) => {
  const paused = { ...project, pause: stop }
  const io = answering('pauseProject', paused)
  io.pond.answers.listProjects = { items: [paused] }
  io.pond.answers.resumeProject = project
  t.equal(await pond(io, 'project', 'pause', 'web', ...two), 0)
  t.match(io.pond.calls.at(-1), { params: { name: 'web' }, body: asSent })
  t.equal(await pond(io, 'project', 'ls'), 0)
  t.equal(await pond(io, 'project', 'resume', 'web'), 0)
  const [said, listed, again] = io.printed().out.split('\n')
  t.equal(said, `web hands out no jobs ${SAID}`)
  t.match(listed, `\tpaused\t${SAID}`)
  t.equal(again, 'web hands out jobs again')
})

t.test('an expiry out of its limits is refused before anything is sent', async (t) => {
  for (const length of ['1ms', '31d']) {
    const io = answering('pauseProject', project)
    t.equal(await pond(io, 'project', 'pause', 'web', '--for', length), 2)
    t.match(io.printed().err, /from 1 s to 30 d/)
    t.strictSame(io.pond.calls, [])
  }
})
