// createPond: the whole server without a socket.
import { loadSodium } from '../src/seal/sodium.ts'
import { answer, begin, refuse } from './http/answer.ts'
import type { Answerer } from './http/message.ts'
import { defaultSettings, type Parts, type Settings } from './service/parts.ts'
import { type Services, startServices } from './service/pond.ts'

export interface Pond extends Answerer {
  /** The first admin token, at the first start only. */
  readonly adminToken?: string
  readonly services: Services
  /** Answers parked polls and stops the clocks. Store and blobs stay the caller's. */
  close(): void
}

/** Starts pond from its store. Every clock, random number and disk comes in with `parts`. */
export async function createPond(
  parts: Omit<Parts, 'settings' | 'sodium'> & { readonly settings?: Partial<Settings> },
): Promise<Pond> {
  const services = await startServices({
    ...parts,
    sodium: await loadSodium(),
    settings: { ...defaultSettings, ...parts.settings },
  })
  return {
    begin: (request) => begin(services, request),
    answer: (request) => answer(services, request),
    refuse: (error, target) => refuse(services, error, target),
    ...(services.adminToken === undefined ? {} : { adminToken: services.adminToken }),
    services,
    close: () => services.close(),
  }
}
