// Artifacts: listed with what was missed, read by their path or by their stream, whole or not at all.
import { createHash } from 'node:crypto'
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { ArtifactReport, StreamReport } from '../../../src/protocol/word.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'

const read = (rig: PondRig, [id, path]: readonly [string, string], more: Asking = {}) =>
  rig.call('readArtifact', { params: { id, path }, ...more })
const list = async (rig: PondRig, id: string) => (await rig.call('listArtifacts', { params: { id } })).reply.items

const reportOf = (text: string, more: Partial<StreamReport> = {}): StreamReport => ({
  bytes: text.length,
  produced: text.length,
  sha256: createHash('sha256').update(text).digest('hex'),
  end: 'complete',
  ...more,
})

interface File {
  readonly path: string
  readonly text: string
  readonly told?: Partial<StreamReport>
}

/** Sends the files and says the final word. */
async function bring(
  box: Machine,
  intent: Intent,
  { files, missed = [] }: { readonly files: readonly File[]; readonly missed?: readonly ArtifactReport[] },
) {
  const streams: Record<string, StreamReport> = {}
  const artifacts: ArtifactReport[] = [...missed]
  for (const [index, { path, text, told }] of files.entries()) {
    const stream = `artifact/${index}` as const
    if (text !== '') await box.send(intent, { stream, offset: 0, bytes: text })
    streams[stream] = reportOf(text, told)
    artifacts.push({ stream, path })
  }
  return await box.say(intent, { ...finalWord, streams, artifacts })
}

t.test('files are listed and read by path, with Range, and by stream', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { artifacts: ['out/**', '*.csv'] })
  const intent = await box.start()
  t.equal((await rig.call('listArtifacts', { params: { id } })).code, 'not_final')
  t.equal((await read(rig, [id, 'out/a.txt'])).code, 'not_final')
  const files = [
    { path: 'out/a.txt', text: 'hello' },
    { path: 'out/ä b?#%2F.txt', text: 'odd' },
    { path: '../../etc/passwd', text: 'data' },
    { path: 'out/empty', text: '' },
  ]
  await bring(box, intent, { files, missed: [{ path: '*.csv', problem: 'missing' }] })
  t.match(await list(rig, id), [
    { path: '*.csv', problem: 'missing' },
    { path: 'out/a.txt', stream: 'artifact/0', bytes: 5, sha256: reportOf('hello').sha256, end: 'complete' },
    { path: 'out/ä b?#%2F.txt', stream: 'artifact/1', bytes: 3 },
    { path: '../../etc/passwd', stream: 'artifact/2', bytes: 4 },
    { path: 'out/empty', stream: 'artifact/3', bytes: 0, end: 'complete' },
  ])
  for (const { path, text } of files) t.equal((await read(rig, [id, path])).bytes.toString(), text, path)
  const part = await read(rig, [id, 'out/a.txt'], { headers: { range: 'bytes=1-3' } })
  t.match({ ...part, text: part.bytes.toString() }, { status: 206, text: 'ell' })
  t.equal(part.headers['content-range'], 'bytes 1-3/5')
  const stream = await rig.call('readStream', { params: { id, name: 'artifact/0' } })
  t.equal(stream.bytes.toString(), 'hello')
  t.match(await read(rig, [id, 'out/b.txt']), {
    code: 'not_found',
    error: { details: { reason: 'no_artifact', artifacts: files.map(({ path }) => path), more: 0 } },
  })
})

t.test('one that is not whole is listed with its problem and never served as the file', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { limits: { artifact_bytes: 4 } })
  const intent = await box.start()
  t.equal(intent.limits.artifact_bytes, 4)
  const full = await box.send(intent, { stream: 'artifact/0', offset: 0, bytes: 'abcdef' })
  t.match(full, { code: 'stream_full', error: { details: { committed: 4, cap: 4 } } })
  const cut = { path: 'big', text: 'abcd', told: { produced: 6, end: 'capped' as const } }
  const lost = { path: 'gone', text: 'ab', told: { bytes: 3, produced: 3, end: 'lost' as const } }
  const short = { path: 'short', text: 'ab', told: { bytes: 3, produced: 3 } }
  t.match(
    await bring(box, intent, { files: [cut, lost, short] }),
    { code: 'streams_incomplete' },
    'complete means complete',
  )
  t.match(await bring(box, intent, { files: [cut, lost] }), { status: 200 })
  t.match(await list(rig, id), [
    { path: 'big', bytes: 4, end: 'capped', problem: 'too_large' },
    { path: 'gone', bytes: 2, end: 'lost', problem: 'unreadable' },
  ])
  for (const path of ['big', 'gone']) {
    t.match(await read(rig, [id, path]), { code: 'not_found', error: { details: { reason: 'not_whole' } } }, path)
  }
})

t.test('each attempt has its own; of a lost one nothing is known', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { idempotent: true, retry: { backoff_ms: 0 } })
  const first = await box.start()
  await box.send(first, { stream: 'artifact/0', offset: 0, bytes: 'half' })
  await rig.clock.advance(limit.leaseMs + 2000)
  t.strictSame(await list(rig, id), [])
  await bring(box, await box.start(), { files: [{ path: 'a', text: 'whole' }] })
  t.equal((await read(rig, [id, 'a'])).bytes.toString(), 'whole')
  t.equal((await read(rig, [id, 'a'], { query: { attempt: '1' } })).code, 'not_found')
})

t.test('limits: pond has its own, and a claim no more streams than fit', async (t) => {
  const rig = await createPondRig(t, { settings: { artifactBytesMost: 10 } })
  const box = await pairMachine(rig)
  const most = { details: { field: 'limits.artifact_bytes', most: 10 } }
  const wish = { command: ['true'], limits: { artifact_bytes: 11 } }
  t.match(await rig.call('submitJob', { body: wish }), { code: 'invalid_field', error: most })
  await submit(rig)
  const intent = await box.start()
  t.equal(intent.limits.artifact_bytes, 10)
  const send = (stream: string) => box.send(intent, { stream, offset: 0, bytes: 'x' })
  t.equal((await send(`artifact/${limit.streamsPerClaim - 5}`)).status, 200)
  t.equal((await send(`artifact/${limit.streamsPerClaim - 4}`)).code, 'invalid_field')
  t.equal((await send('artifact/00')).code, 'invalid_field')
})
