// The flags of `pond serve`, and its place in the tree. What it does is the server's, which src never knows.
import type { Command } from 'commander'
import { limit } from '../protocol/limit.ts'
import { formatDuration } from './duration.ts'
import { asCount, asDurationWithin, asList, asSize, flag } from './flag.ts'
import type { Io } from './io.ts'
import type { Act } from './main.ts'

export interface ServeFlags {
  readonly data?: string
  readonly host: string
  readonly port: number
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly behindProxy?: string
  readonly corsOrigin?: string[]
  readonly metricsPort?: number
  readonly metricsHost: string
  /** Bytes. */
  readonly reserve: number
  /** Milliseconds. */
  readonly lease: number
  /** Milliseconds. */
  readonly pollHold: number
  readonly allowUnattested?: boolean
  readonly json: boolean
}

export type Serve = (flags: ServeFlags, io: Io) => Promise<number>

const PORT = 7460
/** Room for the database and the final words of what runs, when streams and new jobs have taken the rest. */
const RESERVE_BYTES = 256 * 1024 * 1024
/** A worker polls four times a lease, and a poll that is held for less than a second is none. */
const LEASE_LEAST_MS = 4000
/** A worker that died is found out no sooner than its lease is over. */
const LEASE_MOST_MS = 24 * 60 * 60 * 1000
const HOLD_LEAST_MS = 1000

export function addServe(program: Command, act: Act, serve: Serve | undefined): void {
  const command = program.command('serve').description('run a pond')
  flag(command, '--data <dir>', { says: 'where everything is kept', variable: 'POND_DATA' })
  flag(command, '--host <host>', { says: 'address to listen on', variable: 'POND_HOST', initial: '127.0.0.1' })
  flag(command, '--port <port>', {
    says: 'port to listen on, 0 for a free one',
    variable: 'POND_PORT',
    parse: asCount(0, 65_535),
    initial: PORT,
  })
  flag(command, '--tls-cert <file>', { says: 'certificate chain in PEM', variable: 'POND_TLS_CERT' })
  flag(command, '--tls-key <file>', { says: 'private key in PEM', variable: 'POND_TLS_KEY' })
  flag(command, '--behind-proxy <cidr>', {
    says: 'trust the forwarded headers of this network',
    variable: 'POND_BEHIND_PROXY',
  })
  flag(command, '--cors-origin <origin>', {
    says: 'let pages of this origin call, repeatable',
    variable: 'POND_CORS_ORIGIN',
    parse: asList,
  })
  flag(command, '--metrics-port <port>', {
    says: 'serve figures for Prometheus at /metrics on a port of their own, 0 for a free one; nobody is asked for a token',
    variable: 'POND_METRICS_PORT',
    parse: asCount(0, 65_535),
  })
  flag(command, '--metrics-host <host>', {
    says: 'address to serve them on',
    variable: 'POND_METRICS_HOST',
    initial: '127.0.0.1',
  })
  flag(command, '--reserve <size>', {
    says: 'disk that new jobs and output leave free',
    variable: 'POND_RESERVE',
    parse: asSize,
    initial: RESERVE_BYTES,
    initialSays: '256M',
  })
  flag(command, '--lease <duration>', {
    says: 'a worker that is silent for so long has lost its jobs',
    variable: 'POND_LEASE',
    parse: asDurationWithin(LEASE_LEAST_MS, LEASE_MOST_MS),
    initial: limit.leaseMs,
    initialSays: formatDuration(limit.leaseMs),
  })
  flag(command, '--poll-hold <duration>', {
    says: 'answer a poll after so long at the latest; below the idle time of what stands between',
    variable: 'POND_POLL_HOLD',
    parse: asDurationWithin(HOLD_LEAST_MS, limit.pollHoldMs),
    initial: limit.pollHoldMs,
    initialSays: formatDuration(limit.pollHoldMs),
  })
  flag(command, '--allow-unattested', {
    says: 'take a success that its worker did not sign, for workers that cannot',
    variable: 'POND_ALLOW_UNATTESTED',
  })
  flag(command, '--json', { says: 'say where it listens as JSON on stdout', variable: 'POND_JSON', initial: false })
  command.action(() =>
    act(async (io) => {
      if (!serve) throw new Error('this program was made without a server')
      return serve(command.opts<ServeFlags>(), io)
    }),
  )
}
