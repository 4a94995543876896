// The calls on a file system that the disk adapter makes, and no others: a test brings its own to fail, cut short or count them.
import { mkdir, open, readdir, rm, statfs } from 'node:fs/promises'
import { BlobBrokenError } from './contract.ts'

export interface DeviceFile {
  /** Fills `into` from `position`, as far as there is something. */
  read(into: Buffer, from: { readonly position: number }): Promise<{ readonly bytesRead: number }>
  writev(pieces: readonly Uint8Array[], position: number): Promise<{ readonly bytesWritten: number }>
  truncate(length: number): Promise<void>
  /** The bytes and the length of the file; other metadata may lag. */
  datasync(): Promise<void>
  sync(): Promise<void>
  stat(): Promise<{ readonly size: number }>
  close(): Promise<void>
}

export interface Device {
  open(path: string, flags: number, mode?: number): Promise<DeviceFile>
  mkdir(path: string, options: { readonly recursive: true; readonly mode: number }): Promise<string | undefined>
  readdir(path: string): Promise<string[]>
  rm(path: string, options: { readonly recursive: true; readonly force: true }): Promise<void>
  statfs(path: string): Promise<{ readonly bavail: number; readonly bsize: number }>
}

export const systemDevice: Device = { open, mkdir, readdir, rm, statfs }

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** The kernel could not say that bytes are safe. Only a fresh process can find out what of them is. */
export class UnsettledError extends BlobBrokenError {}

/**
 * Runs an fsync. One that failed is never tried again: the kernel reports a lost page once and then calls it clean, so a second
 * fsync would succeed and mean nothing.
 */
export async function settle(what: string, sync: () => Promise<void>): Promise<void> {
  try {
    await sync()
  } catch (cause) {
    throw new UnsettledError(`${what} could not be made durable`, { cause })
  }
}

/** Makes the names in a folder durable. */
export async function settleFolder(device: Device, path: string): Promise<void> {
  const folder = await device.open(path, READ_ONLY)
  try {
    await settle(path, () => folder.sync())
  } finally {
    await folder.close()
  }
}

/** Waits for all; a broken device outranks every other failure. */
export async function settleAll(works: readonly Promise<void>[]): Promise<void> {
  const failures = (await Promise.allSettled(works)).flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
  if (failures.length > 0) throw failures.find((failure) => failure instanceof BlobBrokenError) ?? failures[0]
}

export async function readFully(file: DeviceFile, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await file.read(into.subarray(done), { position: position + done })
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** A write may take fewer bytes than it was given, for instance the last ones that fit on a full device. */
export async function writeFully(file: DeviceFile, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let rest = pieces
  let end = position
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, end)
    if (bytesWritten === 0) throw new Error('the device took no byte and gave no reason')
    end += bytesWritten
    rest = dropBytes(rest, bytesWritten)
  }
}

function dropBytes(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count
  return pieces.flatMap((piece) => {
    const dropped = Math.min(left, piece.length)
    left -= dropped
    return dropped < piece.length ? [piece.subarray(dropped)] : []
  })
}

const READ_ONLY = 0
