// Signs requests as the machines of a pond do: it remembers which key stands behind which token.
import type { PondRequest } from '../../server/http/message.ts'
import type { PairBody, PairReply } from '../../src/protocol/orch.ts'
import type { RotateBody, RotateReply, Rotation } from '../../src/protocol/renewal.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallSigner } from '../../src/seal/request-signature.ts'
import type { Clock } from '../../src/system/clock.ts'
import { createSeededRandom } from './seeded-random.ts'
import { pairOf } from './signing-key.ts'

export interface Hand {
  readonly key: KeyPair
  readonly pondKey: string
  readonly createdMs: number
}

const random = createSeededRandom(0)

/** In place of whatever signature there was. */
export function signRequest(request: PondRequest, { key, pondKey, createdMs }: Hand): PondRequest {
  const own = createCallSigner(key, hashPondKey(pondKey))(request, { createdMs, nonce: random.bytes(16) })
  return { ...request, headers: { ...request.headers, ...own } }
}

/** `pondKey`: the key of now. */
export function createRequestSigner(clock: Clock, pondKey: () => string) {
  const owners = new Map<string, string | undefined>()
  const ownerOf = ({ headers }: PondRequest) => owners.get(headers.authorization?.split(' ')[1] ?? '')
  return {
    /** With `given`, else with the key of the machine that has the token or that pairs; `null` and a stranger sign nothing. */
    sign(name: string, request: PondRequest, given: KeyPair | null | undefined): PondRequest {
      if (given === null) return request
      const key = given ?? pairOf((name === 'pair' ? keyIn(request) : ownerOf(request)) ?? '')
      return key ? signRequest(request, { key, pondKey: pondKey(), createdMs: clock.now() }) : request
    },
    /** From now on this reply's token belongs to who paired. */
    paired: (request: PondRequest, reply: PairReply) => void owners.set(reply.token, keyIn(request)),
    /** The new token belongs to who asked, under the key that it brought, if any. */
    rotated: (request: PondRequest, reply: RotateReply) =>
      void owners.set(reply.token, newKeyIn(request) ?? ownerOf(request)),
  }
}

/** The key that a machine names to pair. */
function keyIn({ body = new Uint8Array() }: PondRequest): string | undefined {
  const { binding_key } = JSON.parse(Buffer.from(body).toString() || '{}') as Partial<PairBody>
  return binding_key
}

function newKeyIn({ body = new Uint8Array() }: PondRequest): string | undefined {
  const { binding } = JSON.parse(Buffer.from(body).toString() || '{}') as RotateBody
  const said = binding && (JSON.parse(Buffer.from(binding.payload, 'base64').toString()) as Rotation)
  return said?.kind === 'binding' ? said.binding_key : undefined
}
