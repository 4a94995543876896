// The world of a verb as one interface, so that a test runs it in process. bin hands in the real one, made in system-io.ts.
import type { HttpNetwork } from '../client/network.ts'
import type { Cancel, Clock } from '../system/clock.ts'
import type { Random } from '../system/random.ts'

export interface Sink {
  readonly isTty: boolean
  /** Resolves when more may be written; rejects when the reader went away. */
  write(data: string | Uint8Array): Promise<void>
}

export interface Source {
  readonly isTty: boolean
  /** All bytes up to the end. */
  readAll(): Promise<Buffer>
}

export interface Choice {
  readonly value: string
  readonly label: string
}

export type SignalName = 'SIGINT' | 'SIGTERM'

export interface Io {
  readonly stdin: Source
  readonly stdout: Sink
  readonly stderr: Sink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly random: Random
  /** Version of this program. */
  readonly version: string
  /** With a path: over that unix socket. */
  connect(socketPath?: string): HttpNetwork
  onSignal(name: SignalName, run: () => void): Cancel
  /** Asks on the terminal; undefined after Ctrl-C or Escape. Called only on a terminal. */
  choose(question: string, choices: readonly Choice[]): Promise<string | undefined>
  /** Asks for a text that is not shown; undefined after Ctrl-C or Escape. */
  askSecret(question: string): Promise<string | undefined>
}
