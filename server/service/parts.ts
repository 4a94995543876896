// What pond is made of: the world by parameter, and the settings with their defaults.

import { limit } from '../../src/protocol/limit.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import type { Signer } from '../../src/seal/signature.ts'
import type { Sodium } from '../../src/seal/sodium.ts'
import type { Clock } from '../../src/system/clock.ts'
import type { Log } from '../../src/system/log.ts'
import { createIdMaker, type Random } from '../../src/system/random.ts'
import type { Blobs } from '../blob/contract.ts'
import type { Store } from '../store/contract.ts'
import type { Meter } from './meter.ts'

/** Pond's own secrets, from its key file. */
export interface PondKeys {
  /** 32 bytes under which claim tokens and pairing secrets are derived. */
  readonly tokenKey: Uint8Array
  /** The signer's Ed25519 public key, unpadded base64url; machines pin it when they pair. */
  readonly publicKey: string
  readonly signer: Signer
  /** Signs for whoever pinned this key: by the key itself, as long as pond has it. */
  readonly signerFor: (pinned: string) => Signer
  /** X25519: what is new is sealed to the first; the ones behind it open what was sealed before they were replaced. */
  readonly sealing: readonly [KeyPair, ...KeyPair[]]
  /** Rotations of kind `pond` that name the signing key and the first sealing key: by that signing key, then by each one before it. */
  readonly proofs: readonly [Dsse, ...Dsse[]]
  /** How the first signing key became this one, step by step; each is signed by the key before it. */
  readonly rotations: readonly Dsse[]
}

export interface Settings {
  /** A binding's token that is not renewed opens nothing after this but its renewal. */
  readonly tokenLifeMs: number
  /** A success that its worker did not sign is none. */
  readonly requireAttestation: boolean
  readonly leaseMs: number
  /** The lease of a worker of class `laptop`, where it is longer. */
  readonly awayMs: number
  readonly confirmMs: number
  readonly pollHoldMs: number
  readonly pollHoldBusyMs: number
  /** How often leases and due times are looked at. */
  readonly sweepMs: number
  /** Ended jobs and their streams are removed after this. */
  readonly retentionMs: number
  /** The most that a job may ask for. */
  readonly streamBytesMost: number
  readonly artifactBytesMost: number
}

const DAY_MS = 24 * 60 * 60 * 1000

export const defaultSettings: Settings = {
  tokenLifeMs: 90 * DAY_MS,
  requireAttestation: true,
  leaseMs: limit.leaseMs,
  awayMs: limit.awayMs,
  confirmMs: limit.confirmMs,
  pollHoldMs: limit.pollHoldMs,
  pollHoldBusyMs: limit.pollHoldBusyMs,
  sweepMs: 1000,
  retentionMs: 30 * DAY_MS,
  streamBytesMost: limit.streamBytesMost,
  artifactBytesMost: limit.artifactBytesMost,
}

export interface Parts {
  readonly store: Store
  readonly blobs: Blobs
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly keys: PondKeys
  /** Loaded, so that its functions may be called. */
  readonly sodium: typeof Sodium
  /** Makes new keys for pond, signed by those of now. They are stored outside before pond uses them, so that no crash loses them. */
  readonly rotateKeys?: () => Promise<PondKeys>
  /** Asked for the first admin token where there is no key yet. It is stored outside before pond knows it, so that no crash loses it. */
  readonly makeAdminToken?: () => Promise<string>
  readonly settings: Settings
  readonly meter?: Meter
}

/** The parts with what every service needs made from them once. */
export interface World extends Parts {
  /** The part of an id behind its prefix. */
  readonly newId: () => string
}

export function createWorld(parts: Parts): World {
  return { ...parts, newId: createIdMaker(parts.clock, parts.random) }
}
