// The law of a stream: bytes are accepted once, in order, up to a cap; an accepted prefix never changes. Pure.
import { isArtifact } from '../protocol/field.ts'
import { limit } from '../protocol/limit.ts'
import type { ArtifactProblem, StreamReport } from '../protocol/word.ts'
import { notPossible, type Refused, refused, type Table } from './table.ts'

export const streamStates = ['open', 'full', 'closed'] as const
export type StreamState = (typeof streamStates)[number]

export interface Stream {
  readonly state: StreamState
  /** Bytes that are stored for good. */
  readonly committed: number
  /** The most that is stored from now on; it may lie under what is stored already. */
  readonly cap: number
}

export interface StreamEvents {
  readonly chunk: { readonly offset: number; readonly length: number }
  /** The claim had its final word. */
  readonly close: object
}
export type StreamEvent = {
  readonly [E in keyof StreamEvents]: { readonly type: E } & StreamEvents[E]
}[keyof StreamEvents]

export interface StreamStep {
  readonly stream: Stream
  /** The part of the chunk to append: skip what is here already, stop at the cap. A length of 0 is a repeat. */
  readonly append: { readonly skip: number; readonly length: number }
  /** Part of the chunk did not fit under the cap. */
  readonly overflow: boolean
}

type Answer = StreamStep | Refused<'gap' | 'closed'>

const close = {
  to: ['closed'] as const,
  says: 'the final word was accepted',
  step: (stream: Stream): StreamStep => ({
    stream: { ...stream, state: 'closed' },
    append: { skip: 0, length: 0 },
    overflow: false,
  }),
}

export const streamTable: Table<Stream, StreamEvents, StreamState, Answer> = {
  open: { chunk: { to: ['open', 'full'], says: 'appended behind what is here; full at the cap', step: take }, close },
  full: { chunk: { to: ['full'], says: 'only repeats are accepted', step: take }, close },
  closed: { chunk: { to: [], says: 'too late', step: () => refused('closed') } },
}

export function stepStream(stream: Stream, event: StreamEvent, now: number): Answer {
  const cell = streamTable[stream.state][event.type]
  if (!cell) return notPossible
  return (cell.step as (stream: Stream, event: StreamEvent, now: number) => Answer)(stream, event, now)
}

/**
 * The most that is stored of a stream. Sealing adds to what it seals, and a worker cuts a stream at its cap as it stands stored; a tail is cut before it is
 * sealed, so it gets room for what comes around it.
 */
export function capOf(
  name: string,
  { streamBytes, artifactBytes }: { readonly streamBytes: number; readonly artifactBytes: number },
): number {
  if (isArtifact(name)) return artifactBytes
  return name.endsWith('.tail') ? 2 * limit.tailBytes : streamBytes
}

export function openStream(committed: number, cap: number): Stream {
  return { state: committed >= cap ? 'full' : 'open', committed, cap }
}

function take(stream: Stream, event: StreamEvents['chunk']): Answer {
  if (event.offset > stream.committed) return refused('gap')
  const skip = Math.min(stream.committed - event.offset, event.length)
  const fresh = event.length - skip
  const room = Math.max(0, stream.cap - stream.committed)
  const length = Math.min(fresh, room)
  return {
    stream: openStream(stream.committed + length, stream.cap),
    append: { skip, length },
    overflow: length < fresh,
  }
}

/** Why what is stored of an artifact is not the whole file; undefined when it is. One of which nothing was told is an empty file, if nothing came. */
export function judgeArtifact(report: StreamReport | undefined, committed: number): ArtifactProblem | undefined {
  const end = report?.end
  switch (end) {
    case undefined:
      return committed === 0 ? undefined : 'unreadable'
    case 'complete':
      return report?.bytes === committed ? undefined : 'unreadable'
    case 'capped':
      return 'too_large'
    case 'lost':
      return 'unreadable'
    default:
      return end satisfies never
  }
}

/**
 * Judges how a worker says a stream ended against what is stored. A complete stream must be here to the last byte;
 * what was capped or lost is taken as it stands.
 */
export function judgeEnd(
  report: StreamReport,
  stored: { readonly committed: number; readonly sha256: string },
): 'whole' | 'incomplete' {
  switch (report.end) {
    case 'complete':
      return report.bytes === stored.committed && report.produced === report.bytes && report.sha256 === stored.sha256
        ? 'whole'
        : 'incomplete'
    case 'capped':
    case 'lost':
      return 'whole'
    default:
      return report.end satisfies never
  }
}
