// What most verbs of pond need: a client for the pond that was meant, an output, and the id of the job that was meant.
import { createClient } from '../client/client.ts'
import type { Answer, Client } from '../client/contract.ts'
import type { JobView } from '../protocol/consumer.ts'
import { jobId } from '../protocol/id.ts'
import { limit } from '../protocol/limit.ts'
import type { ReplyOf, RouteName } from '../protocol/route.ts'
import { silentLog } from '../system/log.ts'
import { type Connection, type ConnectionFlags, readState, resolveConnection, writeState } from './config.ts'
import { callFailure, Failure } from './failure.ts'
import type { Io } from './io.ts'
import { createOutput, type Output } from './output.ts'

export interface Session {
  readonly io: Io
  readonly client: Client
  readonly out: Output
  readonly connection: Connection
}

export async function withSession(
  io: Io,
  flags: ConnectionFlags,
  work: (session: Session) => Promise<number>,
): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json === true })
  const connection = await resolveConnection(io, flags)
  const network = io.connect()
  const client = connectTo(io, connection, network.request)
  try {
    return await work({ io, client, out, connection })
  } finally {
    await out.status(undefined)
    await network.close()
  }
}

export function connectTo(
  io: Io,
  { url, token, project, insecureHttp }: Omit<Connection, 'home'>,
  network: Parameters<typeof createClient>[0]['network'],
): Client {
  return createClient({
    network,
    clock: io.clock,
    random: io.random,
    log: silentLog,
    baseUrl: url,
    token,
    version: io.version,
    insecureHttp,
    ...(project === undefined ? {} : { project }),
  })
}

/** The reply, or a Failure: for verbs that have nothing to do when pond refuses. `doing` completes "could not …". */
export function need<N extends RouteName>(doing: string, answer: Answer<N>): ReplyOf<N> {
  if (answer.ok) return answer.reply
  throw callFailure(doing, answer.error)
}

/** Kept so that the next verb knows the latest job and the latest array; a home that cannot be written costs only that. */
export async function rememberJob({ connection }: Session, { id, array }: JobView): Promise<void> {
  try {
    await writeState(connection.home, connection.url, { last_job: id, ...(array && { last_array: id }) })
  } catch {
    // The newest job of pond's own list stands in.
  }
}

/** A whole id, a unique prefix with or without `job_`, or nothing for the latest job; with `.3` behind it that element of an array, and `.3` alone is one of the latest array. */
export async function resolveJob(session: Session, given = ''): Promise<string> {
  const [, job = '', element = ''] = /^(.*?)(\.\d+)?$/.exec(given) ?? []
  const isOfLatest = job === '' && element !== ''
  return (isOfLatest ? await latestArray(session) : await resolveWhole(session, job)) + element
}

async function resolveWhole(session: Session, given: string): Promise<string> {
  if (given === '') return latestJob(session)
  if (jobId.safeParse(given).success) return given
  const prefix = given.startsWith('job_') ? given : `job_${given}`
  const found = await findByPrefix(session, prefix)
  if (found.length === 1 && found[0] !== undefined) return found[0]
  if (found.length === 0)
    throw new Failure({ what: `no job begins with ${prefix}`, next: 'List the jobs: pond ps --all.' })
  const some = found.slice(0, 5).join(', ')
  throw new Failure({
    what: `${found.length} jobs begin with ${prefix}`,
    why: some,
    next: 'Type more of the id.',
    exit: 'usage',
  })
}

async function latestJob(session: Session): Promise<string> {
  const { client, connection } = session
  const remembered = (await readState(connection.home)).ponds[connection.url]?.last_job
  if (remembered !== undefined) return remembered
  const [newest] = need('list the jobs', await client.call('listJobs', { query: { limit: 1 } })).items
  if (newest) return newest.id
  throw new Failure({ what: 'there is no job yet', next: 'Submit one: pond run -- echo hello.' })
}

async function latestArray({ client, connection }: Session): Promise<string> {
  const remembered = (await readState(connection.home)).ponds[connection.url]?.last_array
  if (remembered !== undefined) return remembered
  const { items } = need('list the jobs', await client.call('listJobs', { query: { limit: limit.listMost } }))
  const newest = items.find(({ array }) => array !== undefined)
  if (newest) return newest.id
  throw new Failure({
    what: `there is no array among the latest ${limit.listMost} jobs`,
    next: 'Put its id in front of the element: pond ps --all.',
  })
}

/** Jobs come newest first and ids sort by time, so the search ends where ids fall below the prefix. */
async function findByPrefix({ client }: Session, prefix: string): Promise<readonly string[]> {
  const found: string[] = []
  for (let cursor: string | undefined; ; ) {
    const page = need('list the jobs', await client.call('listJobs', { query: { limit: limit.listMost, cursor } }))
    found.push(...page.items.map(({ id }) => id).filter((id) => id.startsWith(prefix)))
    const last = page.items.at(-1)
    if (page.next === null || !last || last.id < prefix) return found
    cursor = page.next
  }
}
