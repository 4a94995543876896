// The SQLite package behind the few calls that the store needs, in the shape of node:sqlite, which can replace it.
import { DatabaseSync } from '@photostructure/sqlite'
import type { Blame } from '../contract.ts'

export type Value = string | number | null | Uint8Array

export interface Statement {
  /** Parameters beyond the last value are null. The object that it answers with costs as much as binding ten of them. */
  run(...values: readonly Value[]): { readonly changes: number | bigint }
  /** The first row, if the statement has any. */
  get(...values: readonly Value[]): unknown
  all(...values: readonly Value[]): readonly unknown[]
  /** From here on rows are lists of their columns. */
  setReturnArrays(on: boolean): void
}

export interface Handle {
  exec(sql: string): void
  prepare(sql: string): Statement
  /** False outside a transaction, and once SQLite has dropped one by itself. */
  readonly isTransaction: boolean
  close(): void
}

export type OpenHandle = (file: string, options: { readonly readOnly: boolean }) => Handle

export const openHandle: OpenHandle = (file, options) => new DatabaseSync(file, options)

// https://sqlite.org/rescode.html: the low byte is the primary code.
const SQLITE_FULL = 13
const SQLITE_IOERR_FSYNC = 1034
const SQLITE_IOERR_DIR_FSYNC = 1290

export function blameOf(error: unknown): Blame {
  const code = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : 0
  if ((code & 0xff) === SQLITE_FULL) return 'full'
  return code === SQLITE_IOERR_FSYNC || code === SQLITE_IOERR_DIR_FSYNC ? 'fsync' : 'other'
}
