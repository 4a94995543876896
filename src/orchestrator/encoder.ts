// What a stream's bytes become in its spool: themselves, or sealed segments. Knows the cap; sees no file.
import type { SegmentWriter } from '../seal/segment.ts'
import { releaseMemory } from '../system/release.ts'

/** When bytes were read: wall clock of this machine, and their place among all that the claim's process wrote. */
export interface Mark {
  readonly at: number
  readonly order: number
}

export interface Piece extends Mark {
  readonly bytes: Buffer
}

/** A mark and where it stands among the stored bytes. */
export interface PlacedMark extends Mark {
  readonly offset: number
}

export interface Encoded {
  /** To be appended behind each other. */
  readonly stored: readonly Buffer[]
  readonly marks: readonly PlacedMark[]
  /** Bytes of the pieces, from their front, that are in it; fewer than all once the cap is reached. */
  readonly taken: number
}

export interface Encoder {
  /** `offset`: bytes that are stored already. */
  encode(pieces: readonly Piece[], offset: number): Encoded
  /** What is stored behind all else. */
  end(): readonly Buffer[]
}

export function plainEncoder(capBytes: number): Encoder {
  return {
    encode(pieces, offset) {
      const stored: Buffer[] = []
      const marks: PlacedMark[] = []
      let end = offset
      for (const { bytes, at, order } of pieces) {
        const fits = bytes.subarray(0, Math.max(0, capBytes - end))
        if (fits.length === 0) break
        stored.push(fits)
        marks.push({ offset: end, at, order })
        end += fits.length
      }
      return { stored, marks, taken: end - offset }
    },
    end: () => [],
  }
}

/** What is written together is sealed together: a frame for each write would be mostly frame. */
export function sealedEncoder(writer: SegmentWriter): Encoder {
  return {
    encode(pieces, offset) {
      const [first] = pieces
      if (!first) return { stored: [], marks: [], taken: 0 }
      const together = pieces.length === 1 ? first.bytes : Buffer.concat(pieces.map(({ bytes }) => bytes))
      const { stored, taken } = writer.seal(together)
      if (together !== first.bytes) releaseMemory(together)
      return { stored, marks: taken > 0 ? [{ offset, at: first.at, order: first.order }] : [], taken }
    },
    end: () => writer.end(),
  }
}
