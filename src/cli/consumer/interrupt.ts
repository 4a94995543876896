// What Ctrl-C and SIGTERM mean to whoever follows a job: on a terminal a question, elsewhere a cancel. A second signal always gets out.
import type { Client } from '../../client/contract.ts'
import { type ExitName, exitCode } from '../exit-code.ts'
import type { Io } from '../io.ts'
import type { Output } from '../output.ts'

export interface Interrupt {
  /** Aborts when following is to stop at once. */
  readonly left: AbortSignal
  /** The exit code of the signal that came; undefined while none did. */
  code(): number | undefined
  /** Resolves at once, except while the question stands on the terminal. */
  quiet(): Promise<void>
  /** Stops listening, and whatever still follows the job. */
  close(): void
}

export interface InterruptParts {
  readonly io: Io
  readonly client: Client
  readonly out: Output
  readonly id: string
}

export function listenForInterrupt({ io, client, out, id }: InterruptParts): Interrupt {
  const left = new AbortController()
  let exit: ExitName | undefined
  let question = Promise.resolve()
  const cancel = async () => {
    await out.note(`cancelling ${id}; once more leaves it behind`)
    const answer = await client.persist('cancelJob', { params: { id }, body: {}, signal: left.signal })
    // A job that ended on its own meanwhile cannot be cancelled, and need not be.
    if (!answer.ok && !left.signal.aborted && answer.error.code !== 'not_possible') {
      await out.note(`could not cancel ${id}: ${answer.error.message}`)
      left.abort()
    }
  }
  const ask = async () => {
    await out.status(undefined)
    const answer = await io.choose(`${id} is not done. What now?`, [
      { value: 'detach', label: 'detach: the job goes on without this terminal' },
      { value: 'cancel', label: 'cancel the job (or Ctrl-C again)' },
      { value: 'stay', label: 'stay and follow it on' },
    ])
    if (answer === 'stay') exit = undefined
    else if (answer !== 'detach') await cancel()
    else {
      await out.note(`${id} goes on; come back with: pond logs -f ${id}`)
      left.abort()
    }
  }
  const onSignal = (name: ExitName) => {
    if (exit !== undefined) return left.abort()
    exit = name
    const interactive = name === 'interrupted' && io.stdin.isTty && io.stderr.isTty
    const done = interactive ? ask() : cancel()
    if (interactive) question = done
  }
  const off = [
    io.onSignal('SIGINT', () => onSignal('interrupted')),
    io.onSignal('SIGTERM', () => onSignal('terminated')),
  ]
  return {
    left: left.signal,
    code: () => (exit === undefined ? undefined : exitCode(exit)),
    quiet: () => question,
    close: () => {
      for (const stop of off) stop()
      left.abort()
    },
  }
}
