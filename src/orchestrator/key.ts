// Which kinds of keys a swarm makes. A part, so that a simulated swarm has the same keys every time.
import { type KeyPair, makeSealingPair, makeSigningPair } from '../seal/key.ts'

export type KeyKind = 'ed25519' | 'x25519'

export type MakeKeyPair = (kind: KeyKind) => Promise<KeyPair>

export const systemKeyPair: MakeKeyPair = (kind) => (kind === 'ed25519' ? makeSigningPair() : makeSealingPair())
