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
  /** Whether it is over and may have held bytes that nobody can read any more. */
  readonly lost: boolean
}

export function streamOutlet(readable: Readable): Outlet {
  return {
    drain: (sink) => drainPipe({ readable, ...sink }),
    finish() {},
    cut: () => void readable.destroy(),
    lost: false,
  }
}

export interface PipeEnd {
  /** Opens it, which the end of a process that wrote nothing makes needless. Throws where there is nobody any more to open it from. */
  open(): number
  /** Whether nothing was written and nobody can write any more, as far as is known. */
  quiet(): boolean
}

/** The read end of a pipe. */
export function pipeOutlet(end: PipeEnd, clock: Clock): PipeOutlet {
  return new PipeOutlet(end, clock)
}

/** A process that ends before this is read at its end: to make a stream and to take it down costs as much as to fork. */
const STREAM_AFTER_MS = 5
/** Until a pipe that could not be opened is tried again. */
const AGAIN_MS = 1000
/** Whoever kept the pipe open has ended. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'ENXIO'])
const page = Buffer.alloc(64 * 1024)

export class PipeOutlet implements Outlet {
  readonly #end: PipeEnd
  readonly #clock: Clock
  /** Undefined before it was opened, and once it is closed or a stream's. */
  #fd: number | undefined
  #stream: Readable | undefined
  #opened = false
  #over = false
  #cancel: Cancel = () => {}
  #sink: Sink = { output() {}, failed() {} }
  #drained: (drained: void | Promise<void>) => void = () => {}

  constructor(end: PipeEnd, clock: Clock) {
    this.#end = end
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
    if (this.#stream || this.#over) return
    if (this.#fd === undefined && this.#end.quiet()) this.#close()
    else void this.#readRest()
  }

  cut(): void {
    this.#cancel()
    if (this.#stream) this.#stream.destroy()
    else this.#close()
  }

  get lost(): boolean {
    return this.#over && !this.#opened && !this.#end.quiet()
  }

  /** True when whoever keeps the pipe open for us may end from here on. */
  open(): boolean {
    if (this.#opened || this.#over) return true
    try {
      this.#fd = this.#end.open()
      this.#opened = true
      return true
    } catch (error) {
      if (GONE.has(codeOf(error) ?? '')) this.#close()
      else this.#sink.failed(error)
      return this.#over
    }
  }

  #becomeStream(): void {
    if (!this.open()) {
      // This process has no descriptor left for it, say. What was written waits in the pipe.
      this.#cancel = this.#clock.after(AGAIN_MS, () => this.#becomeStream())
    }
    if (this.#fd === undefined) return
    this.#stream = new Socket({ fd: this.#fd, readable: true, writable: false })
    this.#fd = undefined
    this.#drained(drainPipe({ readable: this.#stream, ...this.#sink }))
  }

  async #readRest(): Promise<void> {
    if (!this.open()) return this.#becomeStream()
    while (this.#fd !== undefined) {
      const bytes = readPage(this.#fd)
      // Somebody out of reach still holds the pipe.
      if (bytes === undefined) return this.#becomeStream()
      if (bytes.length === 0) return this.#close()
      try {
        await this.#sink.output(bytes)
      } catch (error) {
        this.#sink.failed(error)
      }
    }
  }

  #close(): void {
    if (this.#over) return
    this.#over = true
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
    this.#drained()
  }
}

/** Empty at the end, undefined where more may come. Good until the next page is read. */
function readPage(fd: number): Buffer | undefined {
  try {
    return page.subarray(0, readSync(fd, page))
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return undefined
    return Buffer.alloc(0)
  }
}
