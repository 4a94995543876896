// What the answer to a submit says of the project's quotas, as fields of draft-ietf-httpapi-ratelimit-headers: each policy, and what is left of it.
import type { ProjectId } from '../../src/protocol/id.ts'
import type { Core } from '../service/core.ts'
import { standingsOf } from '../service/quota.ts'
import type { PondReply } from './message.ts'

export const rateLimitHeaders = ['RateLimit-Policy', 'RateLimit'] as const

type Standing = ReturnType<typeof standingsOf>[number]

const policyOf: Readonly<Record<Standing['name'], string>> = {
  queued: 'queued',
  submits_per_minute: 'submits',
  cpu_seconds_per_day: 'cpu-seconds',
  output_bytes_per_day: 'output-bytes',
}

const seconds = (ms: number) => Math.ceil(ms / 1000)

/** The reply with these fields, where the project has such quotas. */
export function tellRateLimits(core: Core, projectId: ProjectId, reply: PondReply): PondReply {
  const standings = standingsOf(core, projectId)
  if (standings.length === 0) return reply
  const policies = standings.map(({ name, most, windowMs }) =>
    item(name, { q: most, w: windowMs && seconds(windowMs) }),
  )
  const left = standings.map(({ name, left, wholeInMs }) => item(name, { r: left, t: wholeInMs && seconds(wholeInMs) }))
  const headers = { 'ratelimit-policy': policies.join(', '), ratelimit: left.join(', ') }
  return { ...reply, headers: { ...reply.headers, ...headers } }
}

/** A string with parameters, as structured fields write it. */
function item(name: Standing['name'], parameters: Readonly<Record<string, number | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined)
  return `"${policyOf[name]}"${given.map(([key, value]) => `;${key}=${value}`).join('')}`
}
