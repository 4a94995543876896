// Streams over HTTP: one piece with offset, wait or Range, or all of it as it comes.
import { Refusal } from '../../src/protocol/error.ts'
import type { StreamName } from '../../src/protocol/field.ts'
import type { JobId } from '../../src/protocol/id.ts'
import type { QueryOf } from '../../src/protocol/route.ts'
import type { Core } from '../service/core.ts'
import type { Scope } from '../service/job.ts'
import { awaitStream, followStream, lookStream, type StreamView } from '../service/stream.ts'
import { bytesReply, type PondReply, type PondRequest } from './message.ts'

/** The most that one reply without `follow` carries. */
const PIECE_BYTES = 4 * 1024 * 1024

interface Asked {
  readonly scope: Scope
  readonly jobId: JobId
  readonly name: StreamName
  readonly query: QueryOf<'readStream'>
}

export async function readStream(core: Core, asked: Asked & { readonly request: PondRequest }): Promise<PondReply> {
  const { query, request } = asked
  const range = request.headers.range
  const offset = query.offset ?? 0
  if (query.follow === '1') {
    const view = await lookStream(core, { ...asked, attempt: query.attempt })
    const ask = { ...asked, attempt: view.attempt }
    return bytesReply(200, followStream(core, ask, { offset, signal: request.signal() }), headersOf(view, offset))
  }
  const wait = { offset, waitMs: query.wait_ms ?? 0, signal: request.signal() }
  const view = await awaitStream(core, { ...asked, attempt: query.attempt }, wait)
  if (range !== undefined) return await readRange(core, view, { name: asked.name, range })
  const bytes = await core.blobs.read({ claimId: view.claimId, name: asked.name }, offset, PIECE_BYTES)
  return bytesReply(200, bytes, headersOf(view, offset + bytes.length))
}

/** `open` as long as more may come behind `next`, so that a reader knows whether to ask again. */
function headersOf(view: StreamView, next: number): Record<string, string> {
  return {
    'accept-ranges': 'bytes',
    'pond-attempt': String(view.attempt),
    'pond-next-offset': String(next),
    'pond-end': next < view.committed ? 'open' : view.end,
  }
}

async function readRange(
  core: Core,
  view: StreamView,
  { name, range }: { readonly name: StreamName; readonly range: string },
): Promise<PondReply> {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range)
  const [, first = '', last = ''] = found ?? []
  const from = first === '' ? Math.max(0, view.committed - Number(last)) : Number(first)
  const to = first === '' || last === '' ? view.committed - 1 : Math.min(Number(last), view.committed - 1)
  if (!found || (first === '' && last === '') || from > to) {
    throw new Refusal('invalid_field', `Range must name bytes of the ${view.committed} that are here`, {
      field: 'range',
    })
  }
  const bytes = await core.blobs.read({ claimId: view.claimId, name }, from, Math.min(to - from + 1, PIECE_BYTES))
  return bytesReply(206, bytes, {
    ...headersOf(view, from + bytes.length),
    'content-range': `bytes ${from}-${from + bytes.length - 1}/${view.committed}`,
  })
}

export async function listChunks(core: Core, asked: Asked) {
  const view = await lookStream(core, { ...asked, attempt: asked.query.attempt })
  const from = asked.query.offset ?? 0
  const key = { claimId: view.claimId, name: asked.name }
  const marks = await core.blobs.marks(key, from, Number.MAX_SAFE_INTEGER - from)
  return { items: marks.map(({ offset, length, at, order }) => ({ offset, length, at, order })) }
}
