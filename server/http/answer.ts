// One request, one reply: find the route, ask who calls, parse, hand over; every refusal and every fault leaves through the same door.
import { type ErrorBody, type ErrorCode, errorTable, Refusal } from '../../src/protocol/error.ts'
import { matchRoute, type RouteName, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { BlobBrokenError, NoRoomError } from '../blob/contract.ts'
import { authorise, type Identity } from '../service/access.ts'
import type { Services } from '../service/pond.ts'
import { StoreFailing, StoreFull } from '../store/contract.ts'
import { projectOf } from './caller.ts'
import { handlers } from './handler.ts'
import { type HeldReply, isHeld, jsonReply, type PondReply, type PondRequest } from './message.ts'
import { parseRequest } from './parse.ts'
import { tellRateLimits } from './rate-limit.ts'
import { sealedHandlers } from './sealed.ts'

/** Answers any request when there is a reply; it never rejects. */
export async function answer(services: Services, request: PondRequest): Promise<PondReply> {
  const begun = await begin(services, request)
  if (!isHeld(begun)) return begun
  const signal = request.signal()
  if (signal.aborted) begun.leave()
  signal.addEventListener('abort', begun.leave, { once: true })
  return await new Promise<PondReply>((resolve) => begun.listen(resolve)).finally(() =>
    signal.removeEventListener('abort', begun.leave),
  )
}

/** Answers any request, or parks it; it never rejects. */
export function begin(services: Services, request: PondRequest): Promise<PondReply | HeldReply> {
  const found = find(request)
  return services.core.meter ? beginMeasured(services, request, found) : beginFound(services, request, found)
}

async function beginMeasured(services: Services, request: PondRequest, found: Found): Promise<PondReply | HeldReply> {
  const { clock, meter } = services.core
  const from = clock.monotonic()
  const begun = await beginFound(services, request, found)
  const name = nameOf(found)
  const measure = (reply: PondReply) =>
    meter?.answered(name, reply.status, waits(name, request) ? undefined : clock.monotonic() - from)
  if (isHeld(begun)) return measured(begun, measure)
  measure(begun)
  return begun
}

const measured = ({ listen, leave }: HeldReply, measure: (reply: PondReply) => void): HeldReply => ({
  listen: (send) =>
    listen((reply) => {
      measure(reply)
      send(reply)
    }),
  leave,
})

type Found = ReturnType<typeof find>
type Target = Pick<PondRequest, 'method' | 'path'>

const nameOf = (found: Found) => (typeof found === 'object' ? found.name : 'other')

async function beginFound(services: Services, request: PondRequest, found: Found): Promise<PondReply | HeldReply> {
  try {
    return await route(services, request, found)
  } catch (error) {
    return replyTo(services, error)
  }
}

/** Such a call takes as long as what it waits for, or as its caller sends: that says nothing of pond. */
function waits(name: RouteName | 'other', { query, stream }: PondRequest): boolean {
  return held.has(name) || query.wait_ms !== undefined || query.follow !== undefined || stream !== undefined
}

const held: ReadonlySet<string> = new Set<RouteName>(['poll', 'followJob', 'followJobs'])

async function route(services: Services, request: PondRequest, found: Found): Promise<PondReply | HeldReply> {
  if (found === undefined) throw new Refusal('not_found', `there is no ${request.path} here`)
  if (found === 'other method') throw new Refusal('method_not_allowed', `${request.path} is not for ${request.method}`)
  const row: Route = routes[found.name]
  const identity =
    row.caller === 'open' || row.caller === 'pair' ? nobody : await services.access.identify(bearer(request), request)
  authorise(row, identity)
  const handler = all[found.name] as AnyHandler | undefined
  if (row.reserved || !handler) throw new Refusal('unsupported', `${request.path} is not served by this pond`)
  const reply = async () => {
    const parsed = parseRequest(found.name, request, found.params)
    return await handler(services, { identity, request, ...parsed })
  }
  return found.name === 'submitJob' ? await answerSubmit(services, { identity, request }, reply) : await reply()
}

/** Refused or not, it tells how the project's quotas stand. */
async function answerSubmit(
  services: Services,
  { identity, request }: { readonly identity: Identity; readonly request: PondRequest },
  reply: () => Promise<PondReply | HeldReply>,
): Promise<PondReply | HeldReply> {
  const projectId = projectOf(services.core, identity, request)
  const answer = await reply().catch((error: unknown) => replyTo(services, error))
  return isHeld(answer) ? answer : tellRateLimits(services.core, projectId, answer)
}

const all = { ...handlers, ...sealedHandlers }

/** HEAD is answered by the route whose headers alone say something, and the front leaves the body off. */
function find({ method, path }: Target): ReturnType<typeof matchRoute> {
  const found = matchRoute(method, path)
  if (method !== 'HEAD' || found !== 'other method') return found
  const got = matchRoute('GET', path)
  return typeof got === 'object' && got.name === 'getBundle' ? got : found
}

/** The table of routes gave the schemas, so what was parsed is what the route's handler takes. */
type AnyHandler = (services: Services, asked: object) => Promise<PondReply | HeldReply>

const nobody = { kind: 'nobody' } as const

function bearer(request: PondRequest): string | undefined {
  const header = request.headers.authorization
  if (header === undefined) return undefined
  const [, token] = /^Bearer ([A-Za-z0-9_-]{1,128})$/i.exec(header) ?? []
  if (token === undefined) throw new Refusal('unauthenticated', 'Authorization must be Bearer and a token')
  return token
}

/** The reply to what never became a call; `target`, where that much of it was read. */
export function refuse(services: Services, error: unknown, target?: Target): PondReply {
  const reply = replyTo(services, error)
  services.core.meter?.answered(nameOf(target && find(target)), reply.status, undefined)
  return reply
}

/** The one place where errors become replies. Faults are logged with the request id and told to nobody. */
function replyTo(services: Services, error: unknown): PondReply {
  const { code, message, details } = refusalOf(error)
  const requestId = `req_${services.core.newId()}`
  if (code === 'internal') {
    services.core.log.error('request.fault', {
      request_id: requestId,
      error: error instanceof Error ? (error.stack ?? '') : String(error),
    })
  }
  const row = errorTable[code]
  const body: ErrorBody = { error: { code, message, details, help: row.help }, request_id: requestId }
  return jsonReply(row.status, body, {
    'x-request-id': requestId,
    ...(row.retry === 'later' ? { 'retry-after': retryAfter(details) } : {}),
  })
}

/** In whole seconds. */
function retryAfter({ retry_after_ms: ms }: Refusal['details']): string {
  return `${typeof ms === 'number' ? Math.max(1, Math.ceil(ms / 1000)) : 1}`
}

function refusalOf(error: unknown): { code: ErrorCode; message: string; details: Refusal['details'] } {
  if (error instanceof Refusal) return error
  if (error instanceof StoreFull || error instanceof NoRoomError) {
    return { code: 'disk_full', message: 'pond has no room left', details: {} }
  }
  if (error instanceof StoreFailing || error instanceof BlobBrokenError)
    return { code: 'store_failing', message: 'the write was not taken', details: {} }
  return { code: 'internal', message: 'a fault in pond', details: {} }
}
