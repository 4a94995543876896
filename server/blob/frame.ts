// The frame: one chunk as it lies in a stream's file. Bytes in, bytes out; no file is touched here.
import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { appendMost, type ChunkMark, type NewChunk } from './contract.ts'

/**
 * Little-endian: magic u32 · CRC-32 of the rest of the header u32 · CRC-32 of the data u32 · length u32 · offset u64 · at u64 ·
 * order u64 · data. The header proves itself, so a walk from frame to frame need not read the data between.
 */
export const HEADER_BYTES = 40

/** It bounds what one torn append can leave behind. */
export const APPEND_FILE_BYTES_MOST = appendMost.bytes + appendMost.chunks * HEADER_BYTES

export interface Frame extends ChunkMark {
  /** CRC-32 of the data. */
  readonly crc: number
}

/** "PBF1": pond blob frame, layout 1. */
const MAGIC = 0x31464250

/** The header that goes before the bytes of a chunk; they are not copied, because copying 256 KiB takes as long as checking them. */
export function encodeHeader({ offset, at, order, bytes }: NewChunk): Buffer {
  assert(bytes.length > 0 && bytes.length <= appendMost.bytes, `a chunk of ${bytes.length} bytes`)
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(crc32(bytes), 8)
  header.writeUInt32LE(bytes.length, 12)
  header.writeBigUInt64LE(BigInt(offset), 16)
  header.writeBigUInt64LE(BigInt(at), 24)
  header.writeBigUInt64LE(BigInt(order), 32)
  header.writeUInt32LE(crc32(header.subarray(8)), 4)
  return header
}

/** What a header says, or undefined when these bytes are none. */
export function decodeHeader(bytes: Buffer): Frame | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined
  if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8, HEADER_BYTES))) return undefined
  return {
    crc: bytes.readUInt32LE(8),
    length: bytes.readUInt32LE(12),
    offset: Number(bytes.readBigUInt64LE(16)),
    at: Number(bytes.readBigUInt64LE(24)),
    order: Number(bytes.readBigUInt64LE(32)),
  }
}
