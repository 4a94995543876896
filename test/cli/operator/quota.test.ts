// pond project quota: what is not named stays, what is taken away goes, and what stands is shown.
import t from 'tap'
import type { Quota } from '../../../src/protocol/quota.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { jsonReply } from '../../harness/http-reply.ts'

async function type(before: Quota | undefined, ...words: string[]) {
  const io = createFakeIo()
  const project = { id: fakeId('prj', 1), name: 'web', weight: 100, created_at: 0, ...(before && { quota: before }) }
  io.pond.answers.listProjects = { items: [project] }
  let sent: unknown
  io.pond.intercept = (call) => {
    if (call.name !== 'setQuota') return undefined
    t.equal(call.params.project, project.id)
    sent = call.body
    return jsonReply({ ...project, quota: call.body })
  }
  const code = await pond(io, 'project', 'quota', 'web', ...words)
  return { code, sent, ...io.printed() }
}

t.test('limits are set and shown', async (t) => {
  const all = '--queued 10 --running 2 --submits-per-minute 60 --cpu-seconds-per-day 3600 --output-per-day 50G'
  const { code, sent, out } = await type(undefined, ...all.split(' '), '--priority-most', '0')
  t.equal(code, 0)
  t.strictSame(sent, {
    ...{ queued: 10, running: 2, submits_per_minute: 60, cpu_seconds_per_day: 3600 },
    ...{ output_bytes_per_day: 50 * 2 ** 30, priority_most: 0 },
  })
  t.match(out, /project: +web\n[\s\S]*queued: +10\n[\s\S]*output-per-day: +50\.0 GiB\npriority-most: +0\n$/)
})

t.test('what is not named stays; --none takes one away, --clear all that is not named', async (t) => {
  const before = { queued: 10, running: 2, priority_most: 5 }
  t.strictSame((await type(before, '--running', '4')).sent, { queued: 10, running: 4, priority_most: 5 })
  t.strictSame((await type(before, '--none', 'queued', '--none', 'priority-most')).sent, { running: 2 })
  t.strictSame((await type(before, '--clear', '--queued', '1')).sent, { queued: 1 })
  const { sent, out } = await type(before, '--clear')
  t.strictSame(sent, {})
  t.match(out, /limits: +none/)
})

t.test('without a limit it only shows, also as JSON', async (t) => {
  const { sent, out } = await type({ queued: 10 })
  t.equal(sent, undefined)
  t.match(out, /queued: +10\n$/)
  t.match(JSON.parse((await type({ queued: 10 }, '--json')).out), { name: 'web', quota: { queued: 10 } })
})

t.test('what cannot be meant is refused before anything is sent', async (t) => {
  for (const words of [
    ['--none', 'everything'],
    ['--none', 'queued', '--queued', '1'],
    ['--queued', '0'],
    ['--priority-most', '10'],
    ['--output-per-day', 'much'],
  ]) {
    const { code, sent } = await type(undefined, ...words)
    t.strictSame([code, sent], [2, undefined], words.join(' '))
  }
  const io = createFakeIo()
  io.pond.answers.listProjects = { items: [] }
  t.equal(await pond(io, 'project', 'quota', 'web'), 1)
  t.match(io.printed().err, /no project is called web/)
})
