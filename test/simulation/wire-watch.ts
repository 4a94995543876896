// What the wire alone tells: which bytes pond took, when it last heard of a claim, whose each token is, and whether a secret passes in the clear.
import type { PondRequest } from '../../server/http/message.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import type { WholeReply, Wiretap } from './network.ts'
import type { Place } from './place.ts'

/** Bytes that pond acknowledged. */
export interface AcceptedBytes {
  readonly claimId: string
  readonly stream: string
  readonly offset: number
  readonly bytes: Buffer
}

/** A right that pond gave away. */
export interface SeenIntent {
  readonly host: string
  readonly jobId: string
  readonly claimId: string
  readonly workerId: string
  readonly token: string
  readonly bundleToken?: string
}

export interface WireWatch extends Wiretap {
  readonly accepted: readonly AcceptedBytes[]
  readonly intents: readonly SeenIntent[]
  /** When pond was last reached by a word, poll or chunk about this claim. */
  heardOf(claimId: string): number | undefined
  /** When a whole reply to a poll last reached this host. */
  completedAt(host: string): number | undefined
}

/** Speaks for nobody: what it says is refused, or should be. */
export const ATTACKER = 'attacker'

export function createWireWatch(place: Place): WireWatch {
  const { clock, isSecret } = place
  const accepted: AcceptedBytes[] = []
  const intents = new Map<string, SeenIntent>()
  const owners = new Map<string, string>()
  const heard = new Map<string, number>()
  const completed = new Map<string, number>()

  function look(where: string, { path, search, headers }: PondRequest, body: Uint8Array | string | undefined): void {
    const clear = [path + search, JSON.stringify(headers), body ?? '']
    if (clear.some(isSecret)) place.violate('no_secret_on_the_wire', { where, path })
  }

  function own(token: string, claimId: string): void {
    const owner = owners.get(token) ?? claimId
    owners.set(token, owner)
    if (owner !== claimId) place.violate('a_token_is_of_one_claim', { claim: claimId, other: owner })
  }

  return {
    accepted,
    get intents() {
      return [...intents.values()]
    },
    heardOf: (claimId) => heard.get(claimId),
    completedAt: (host) => completed.get(host),
    asked(host, request) {
      look('request', request, request.body)
      // Whoever redeems comes with a claim's own token, whatever else he tries.
      if (host !== ATTACKER || request.path.endsWith('/redeem'))
        for (const claimId of claimsIn(request)) heard.set(claimId, clock.monotonic())
    },
    replied(host, request, reply) {
      look('reply', request, reply.body)
      if (reply.status < 200 || reply.status > 299) return
      if (request.path.endsWith('/chunk')) accepted.push(...acceptedBy(request, reply))
      for (const { claim_id, job_id, worker_id, claim_token, source_bundle } of intentsIn(request, reply)) {
        own(claim_token, claim_id)
        if (source_bundle) own(source_bundle.token, claim_id)
        intents.set(claim_id, {
          ...{ host, jobId: job_id, claimId: claim_id, workerId: worker_id, token: claim_token },
          ...(source_bundle && { bundleToken: source_bundle.token }),
        })
      }
    },
    arrived(host, { url }) {
      if (isPoll(url)) completed.set(host, clock.monotonic())
    },
    strayed: (host, { url }) => place.violate('a_token_goes_to_no_other_host', { host, url }),
  }
}

const isPoll = (address: string) => address.endsWith('/orch/poll')

const textOf = ({ body }: PondRequest) => Buffer.from(body ?? []).toString()

/** Those that a poll has, that words are about, or that a chunk belongs to. */
function claimsIn(request: PondRequest): readonly string[] {
  const { path, query } = request
  if (!path.startsWith('/orch/')) return []
  if (query.claim !== undefined) return [query.claim]
  if (!/\/(poll|states|state|seal|redeem|telemetry)$/.test(path)) return []
  const { have = [], words = [], claim_id } = JSON.parse(textOf(request)) as Claims
  return [...have, ...words, { claim_id }].flatMap(({ claim_id }) => claim_id ?? [])
}

interface Claims {
  readonly have?: readonly { readonly claim_id: string }[]
  readonly words?: readonly { readonly claim_id: string }[]
  readonly claim_id?: string
}

function intentsIn({ path }: PondRequest, { body }: WholeReply): readonly Intent[] {
  if (!/^\/orch\/(poll|states)$/.test(path)) return []
  return (JSON.parse(body.toString()) as { intents?: readonly Intent[] }).intents ?? []
}

function acceptedBy({ query, body }: PondRequest, reply: WholeReply): readonly AcceptedBytes[] {
  const { committed } = JSON.parse(reply.body.toString()) as { committed: number }
  const offset = Number(query.offset)
  const bytes = Buffer.from(body ?? []).subarray(0, Math.max(0, committed - offset))
  return [{ claimId: query.claim ?? '', stream: query.stream ?? '', offset, bytes }]
}
