// A client on the real network with a clock driven by hand, and a real server of the loopback behind it.
import type { Test } from 'tap'
import { createClient } from '../../src/client/client.ts'
import { createNetwork } from '../../src/client/network.ts'
import type { SignCall } from '../../src/seal/request-signature.ts'
import { type LogFields, silentLog } from '../../src/system/log.ts'
import { startServer } from './http-server.ts'
import { createVirtualClock } from './virtual-clock.ts'

/** A list of jobs without any. */
export const page = { items: [], next: null }

export async function createClientRig(
  t: Test,
  parts: {
    readonly token?: string | (() => string)
    readonly project?: string
    readonly base?: string
    readonly sign?: SignCall
  } = {},
) {
  const clock = createVirtualClock()
  const server = await startServer(t, parts.base)
  const network = createNetwork({ clock })
  t.teardown(() => network.close())
  let drawn = 0
  const random = { bytes: (count: number) => Buffer.alloc(count, drawn++), number: () => 0.5 }
  const warnings: LogFields[] = []
  const log = {
    ...silentLog,
    warn: (event: string, fields: LogFields = {}) => void warnings.push({ event, ...fields }),
  }
  const world = { network: network.request, clock, random, log, version: '1.2.3' }
  const client = createClient({ ...world, ...parts, baseUrl: server.url })
  return { clock, server, client, network, warnings }
}
