// How rows in a map are found, ordered and changed.
import assert from 'node:assert/strict'
import type { MemoryTransaction, RowOf, Table } from './memory-store.ts'

export const byId = (one: { readonly id: string }, other: { readonly id: string }) =>
  one.id < other.id ? -1 : Number(one.id > other.id)

export const newestFirst = (one: { readonly id: string }, other: { readonly id: string }) => byId(other, one)

export const sorted = <Row extends { readonly id: string }>(table: ReadonlyMap<string, Row>) =>
  [...table.values()].sort(byId)

export function find<Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean): Row | undefined {
  for (const row of table.values()) if (wanted(row)) return row
  return undefined
}

export const where = <Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean) =>
  [...table.values()].filter(wanted)

export interface Keyed<T extends Table> {
  readonly key: string
  readonly row: RowOf<T>
}

export function insert<T extends Table>(on: MemoryTransaction, table: T, { key, row }: Keyed<T>): void {
  assert(!on.rows()[table].has(key), `${table} holds ${key} already`)
  on.own(table).set(key, row)
}

export function update<T extends Table>(on: MemoryTransaction, table: T, { key, row }: Keyed<T>): void {
  assert(on.rows()[table].has(key), `${table} does not hold ${key}`)
  on.own(table).set(key, row)
}

export function removeWhere<T extends Table>(
  on: MemoryTransaction,
  table: T,
  wanted: (row: RowOf<T>) => boolean,
): void {
  for (const [key, row] of [...on.own(table)]) if (wanted(row)) on.own(table).delete(key)
}
