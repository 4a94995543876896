// One connection: its pragmas, and its statements, each prepared once. Nothing here knows a table.
import type { Handle, OpenHandle, Statement, Value } from './driver.ts'

/** How long to wait for a lock of another process, such as a backup. It blocks the event loop, so it is short against every lease. */
const busyMs = 5000
/** Pages kept in memory, in KiB; SQLite's own 2 MB would read most of a large index again for each insert. */
const cacheKib = 32 * 1024
/** After a burst the WAL file shrinks to this; below it the file is written over, which is faster than growing it anew. */
const walBytes = 64 * 1024 * 1024

export interface Connection {
  /** Runs a statement and answers how many rows it changed. What is absent at the end of `values` is not even bound. */
  run(sql: string, ...values: readonly Bound[]): number
  /** The same where nobody counts, for less. */
  insert(sql: string, ...values: readonly Bound[]): void
  /** The first row. `Raw` is what the columns spell out, with null for what is absent. */
  get<Raw>(sql: string, ...values: readonly Bound[]): Raw | undefined
  all<Raw>(sql: string, ...values: readonly Bound[]): readonly Raw[]
  /** Rows as lists of their columns: half the time of objects, where there are a million. */
  lists<Raw extends readonly unknown[]>(sql: string, ...values: readonly Bound[]): readonly Raw[]
  exec(sql: string): void
  inTransaction(): boolean
  close(): void
}

export type Bound = Value | undefined

export function openConnection(open: OpenHandle, file: string, readOnly: boolean): Connection {
  const handle = open(file, { readOnly })
  try {
    prepareHandle(handle, readOnly)
  } catch (error) {
    handle.close()
    throw error
  }
  return connect(handle)
}

/** Savepoints copy each page they change; in memory that costs nothing, in the default temporary file it is a write. */
function prepareHandle(handle: Handle, readOnly: boolean): void {
  handle.exec(`pragma busy_timeout = ${busyMs}`)
  if (!readOnly) handle.exec(`pragma journal_mode = wal; pragma journal_size_limit = ${walBytes}`)
  handle.exec(`
    pragma synchronous = full;
    pragma foreign_keys = on;
    pragma temp_store = memory;
    pragma cache_size = -${cacheKib};
  `)
}

function connect(handle: Handle): Connection {
  const cache = new Map<string, Statement>()
  const listing = new Map<string, Statement>()
  const prepared = (sql: string) => {
    const known = cache.get(sql)
    if (known) return known
    const statement = handle.prepare(sql)
    cache.set(sql, statement)
    return statement
  }
  const preparedToList = (sql: string) => {
    const known = listing.get(sql)
    if (known) return known
    const statement = handle.prepare(sql)
    statement.setReturnArrays(true)
    listing.set(sql, statement)
    return statement
  }
  return {
    run: (sql: string, ...values: Bound[]) => Number(prepared(sql).run(...nulled(values)).changes),
    insert: (sql: string, ...values: Bound[]) => void prepared(sql).get(...nulled(values)),
    get: <Raw>(sql: string, ...values: Bound[]) => prepared(sql).get(...nulled(values)) as Raw | undefined,
    all: <Raw>(sql: string, ...values: Bound[]) => prepared(sql).all(...nulled(values)) as readonly Raw[],
    lists: <Raw extends readonly unknown[]>(sql: string, ...values: Bound[]) =>
      preparedToList(sql).all(...nulled(values)) as unknown as readonly Raw[],
    exec: (sql) => handle.exec(sql),
    inTransaction: () => handle.isTransaction,
    close: () => handle.close(),
  }
}

/** In place: the list is the call's own, and there are a dozen a job. */
function nulled(values: Bound[]): Value[] {
  while (values.length > 0 && (values[values.length - 1] ?? null) === null) values.pop()
  for (let index = 0; index < values.length; index++) values[index] ??= null
  return values as Value[]
}
