// Where the output of a process is taken: a stream, or a bare pipe that becomes one only when the process lives long enough to need it.
import { closeSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Cancel, Clock } from '../system/clock.ts'
import { codeOf } from './launch.ts'
import { drainPipe, type PipeParts } from './pipe.ts'

export type Sink = Omit<PipeParts, 'readable'>

export interface Outlet {
  /** Called once. Resolves when the pipe has ended, or was cut, and every byte that came was taken. */
  drain(sink: Sink): Promise<void>
  /** Nobody of the job lives: what is in the pipe is the rest. */
  finish(): void
  /** Ends it now. */
  cut(): void
}

export function streamOutlet(readable: Readable): Outlet {
  return { drain: (sink) => drainPipe({ readable, ...sink }), finish() {}, cut: () => void readable.destroy() }
}

/** The read end of a pipe. */
export function pipeOutlet(fd: number, clock: Clock): Outlet {
  return new PipeOutlet(fd, clock)
}

/** A process that ends before this is read at its end: to make a stream and to take it down costs as much as to fork. */
const STREAM_AFTER_MS = 5
const page = Buffer.alloc(64 * 1024)

class PipeOutlet implements Outlet {
  readonly #fd: number
  readonly #clock: Clock
  #stream: Readable | undefined
  #over = false
  #cancel: Cancel = () => {}
  #sink: Sink = { output() {}, failed() {} }
  #drained: (drained: void | Promise<void>) => void = () => {}

  constructor(fd: number, clock: Clock) {
    this.#fd = fd
    this.#clock = clock
  }

  drain(sink: Sink): Promise<void> {
    this.#sink = sink
    this.#cancel = this.#clock.after(STREAM_AFTER_MS, () => this.#becomeStream())
    return new Promise((resolve) => {
      this.#drained = resolve
    })
  }

  finish(): void {
    this.#cancel()
    if (!this.#stream && !this.#over) void this.#readRest()
  }

  cut(): void {
    this.#cancel()
    if (this.#stream) this.#stream.destroy()
    else this.#end()
  }

  #becomeStream(): void {
    this.#stream = new Socket({ fd: this.#fd, readable: true, writable: false })
    this.#drained(drainPipe({ readable: this.#stream, ...this.#sink }))
  }

  async #readRest(): Promise<void> {
    while (!this.#over) {
      const bytes = this.#readPage()
      // Somebody out of reach still holds the pipe.
      if (bytes === undefined) return this.#becomeStream()
      if (bytes.length === 0) return this.#end()
      try {
        await this.#sink.output(bytes)
      } catch (error) {
        this.#sink.failed(error)
      }
    }
  }

  /** Empty at the end, undefined where more may come. */
  #readPage(): Buffer | undefined {
    try {
      return Buffer.from(page.subarray(0, readSync(this.#fd, page)))
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return undefined
      return Buffer.alloc(0)
    }
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    closeSync(this.#fd)
    this.#drained()
  }
}
