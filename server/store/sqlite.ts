// The store in one SQLite file: one connection that writes in groups, a few that read. The default for a pond on one machine.
//
// WAL with synchronous=full: a commit is durable when it returns, and one whose fsync fails ends the store. Reads see a snapshot and never wait for the
// writer. SQLite copies the WAL into the file inside the commit that brings it to 1000 pages, and keeps the errors of that copy to itself. That is no loss:
// what is copied was synced by its own commit before, reads take it from the WAL, and the WAL is written over only after the file was synced well;
// until then each later copy writes the same pages again, so that nothing hangs on what became of those the kernel could not write.
import { closeSync, fchmodSync, fsyncSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { type ReadTx, type Store, type StoreEvents, StoreFailing, type WriteTx } from './contract.ts'
import { GroupCommit, type Transaction } from './group-commit.ts'
import { type Connection, openConnection } from './sqlite/connection.ts'
import { blameOf, type OpenHandle, openHandle } from './sqlite/driver.ts'
import { Lately } from './sqlite/lately.ts'
import { migrate } from './sqlite/schema.ts'
import { readTx, writeTx } from './sqlite/tx.ts'
import { drive, Scope } from './work.ts'

export interface SqliteStoreParts {
  readonly file: string
  readonly events: StoreEvents
  /** Measures how long a group has been running. */
  readonly clock?: Clock
  /** How many connections read. Statements are synchronous, so more of them only serve works that interleave. */
  readonly readers?: number
  /** Opens a connection; another package with the shape of node:sqlite, or a test that looks on. */
  readonly driver?: OpenHandle
}

const readersDefault = 2

/** Opens the file, makes it if needed, and brings it to this version. Throws when it cannot. The folder is the caller's. */
export function openSqliteStore(parts: SqliteStoreParts): Store {
  const { file, events, clock = systemClock, readers: count = readersDefault, driver = openHandle } = parts
  claimFile(file)
  const opened: Connection[] = []
  const open = (readOnly: boolean) => {
    const connection = openConnection(driver, file, readOnly)
    opened.push(connection)
    return connection
  }
  const closeAll = () => {
    for (const connection of opened.reverse()) connection.close()
  }
  try {
    const writer = open(false)
    settleNames(writer, dirname(file))
    migrate(writer)
    const readers = new ReaderPool(Array.from({ length: count }, () => open(true)))
    const group = new GroupCommit<WriteTx>({ transaction: transactionOf(writer), clock, events })
    const close = async () => {
      await Promise.all([group.close(), readers.close()])
      copyWal(writer)
      closeAll()
    }
    let closing: Promise<void> | undefined
    return {
      read: (work) => readers.read(work),
      write: (work) => group.write(work),
      close: () => (closing ??= close()),
    }
  } catch (error) {
    closeAll()
    throw error
  }
}

/** SQLite gives its -wal and -shm the mode of the file. */
function claimFile(file: string): void {
  const descriptor = openSync(file, 'a', 0o600)
  try {
    fchmodSync(descriptor, 0o600)
  } finally {
    closeSync(descriptor)
  }
}

/** Before anything stands in the WAL: SQLite ignores it when the name of a new one cannot be made durable, and a lost name is a lost WAL. */
function settleNames(db: Connection, folder: string): void {
  // The first read makes the WAL.
  db.exec('pragma user_version')
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } catch (cause) {
    throw new Error(`the names in ${folder} could not be made durable`, { cause })
  } finally {
    closeSync(descriptor)
  }
}

/** So that the file alone is a whole copy of a pond that stands still. Where it fails nothing is lost: the next start reads the WAL. */
function copyWal(db: Connection): void {
  try {
    db.exec('pragma wal_checkpoint(truncate)')
  } catch {}
}

function transactionOf(db: Connection): Transaction<WriteTx> {
  const lately = new Lately()
  let isOpen = false
  return {
    begin() {
      // What the last one wrote is not there, however it ended.
      if (isOpen) lately.forget()
      isOpen = true
      // Not deferred: a lock is waited for here, where nothing has happened yet.
      db.exec('begin immediate')
    },
    commit() {
      db.exec('commit')
      isOpen = false
    },
    rollback() {
      lately.forget()
      db.exec('rollback')
    },
    save: () => db.exec('savepoint work'),
    keep: () => db.exec('release work'),
    undo() {
      lately.forget()
      db.exec('rollback to work; release work')
    },
    stands: () => db.inTransaction(),
    tx: (scope) => writeTx(db, scope, lately),
    blame: blameOf,
  }
}

/** Each read has a connection, and so a snapshot, to itself. */
class ReaderPool {
  readonly #all: number
  readonly #free: Connection[]
  readonly #waiting: ((db: Connection) => void)[] = []
  #closed: (() => void) | undefined

  constructor(connections: readonly Connection[]) {
    this.#all = connections.length
    this.#free = [...connections]
  }

  async read<T>(work: (tx: ReadTx) => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreFailing('the store is closed')
    const db = this.#free.pop() ?? (await new Promise<Connection>((resolve) => this.#waiting.push(resolve)))
    try {
      return await readOn(db, work)
    } finally {
      this.#release(db)
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#closed = resolve
      if (this.#free.length === this.#all) resolve()
    })
  }

  #release(db: Connection): void {
    const next = this.#waiting.shift()
    if (next) next(db)
    else this.#free.push(db)
    if (this.#free.length === this.#all) this.#closed?.()
  }
}

async function readOn<T>(db: Connection, work: (tx: ReadTx) => Promise<T>): Promise<T> {
  const scope = new Scope(() => db.inTransaction())
  db.exec('begin')
  const outcome = await drive(() => work(readTx(db, scope)))
  scope.close()
  if (db.inTransaction()) db.exec('commit')
  if (!outcome.ok) throw outcome.error
  return outcome.value
}
