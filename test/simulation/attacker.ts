// Somebody who holds a right and tries it where it is not his: each machine signs with its own key, and names claims with the tokens of others.
import type { Client } from '../../src/client/contract.ts'
import type { Place } from './place.ts'
import type { SwarmHost } from './swarm-host.ts'
import type { SeenIntent } from './wire-watch.ts'

export interface AttackerParts {
  readonly place: Place
  readonly swarms: readonly SwarmHost[]
  readonly intents: () => readonly SeenIntent[]
}

/** One attempt with what has been seen so far; pond must not take it, whatever state the claims are in. */
export async function attack({ place, swarms, intents }: AttackerParts): Promise<void> {
  const { random } = place
  const seen = intents()
  const pick = <T>(things: readonly T[]) => things[Math.floor(random.number() * things.length)]
  const [victim, thief] = [pick(seen), pick(seen)]
  const swarm = pick(swarms)
  if (!victim || !thief || !swarm) return
  // The right token is only good in the hands of the machine that it was given to.
  const own = swarm.name === victim.host
  if (own && thief.claimId === victim.claimId) return
  const stolen = own ? thief : victim
  const client = await swarm.impersonate()
  const how = pick([
    sayEnd,
    sayEndInBatch,
    sendBytes,
    ...(stolen.bundleToken && victim.bundleToken ? [redeem, redeem] : []),
  ])
  if (!client || !how) return
  place.history.note('attack', { by: swarm.name, claim: victim.claimId, with: thief.claimId, how: how.name })
  if (await how(client, victim, stolen))
    place.violate('a_foreign_token_is_refused', { by: swarm.name, claim: victim.claimId, how: how.name })
}

type Attack = (client: Client, victim: SeenIntent, stolen: SeenIntent) => Promise<boolean>

const end = (claimId: string) => ({ claim_id: claimId as never, state: 'final', cause: 'exit', rc: 0 }) as const

const sayEnd: Attack = async (client, { jobId, claimId }, { token: claimToken }) => {
  const answer = await client.call('sendWord', { params: { id: jobId }, claimToken, body: end(claimId) })
  return answer.ok
}

const sayEndInBatch: Attack = async (client, { jobId, claimId }, { token }) => {
  const word = { ...end(claimId), job_id: jobId as never, claim_token: token }
  const answer = await client.call('sendWords', { body: { words: [word] } })
  const [said] = answer.ok ? answer.reply.outcomes : []
  return said?.outcome === 'accepted' || said?.outcome === 'idempotent' || said?.kept === true
}

const sendBytes: Attack = async (client, { jobId, claimId }, { token: claimToken }) => {
  const query = { claim: claimId, stream: 'stdout', offset: 0, at: 0, order: 0 }
  const answer = await client.call('sendChunk', {
    params: { id: jobId },
    query,
    claimToken,
    body: Buffer.from('not of this process'),
  })
  return answer.ok
}

/** With the right to the claim, and the bundle's token of another one; or with both, and not as the machine that they were given to. */
const redeem: Attack = async (client, victim, { bundleToken }) => {
  if (bundleToken === undefined) return false
  const of = { job_id: victim.jobId as never, claim_id: victim.claimId as never, worker_id: victim.workerId as never }
  const body = { ...of, token: bundleToken }
  const answer = await client.call('bundleRedeem', { body, claimToken: victim.token })
  return answer.ok
}
