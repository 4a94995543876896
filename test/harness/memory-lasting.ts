// A store in memory for long runs: tables are changed in place and a transaction that fails is undone step by step, so that a commit costs what it changes and
// not what is there. Nobody may read while a work is under way, which the group commit sees to; of former moments nothing is kept.
import {
  createMemoryDatabase,
  type MemoryDatabase,
  type MemoryRows,
  MemoryTransaction,
  type RowOf,
  type Table,
} from './memory-store.ts'

type Undo = () => void

/** Notes how each change is taken back. */
class LastingMap<Row> extends Map<string, Row> {
  readonly #undo: Undo[]

  constructor(undo: Undo[]) {
    super()
    this.#undo = undo
  }

  override set(key: string, row: Row): this {
    const before = this.get(key)
    this.#undo.push(() => (before === undefined ? super.delete(key) : super.set(key, before)))
    return super.set(key, row)
  }

  override delete(key: string): boolean {
    const before = this.get(key)
    if (before !== undefined) this.#undo.push(() => super.set(key, before))
    return super.delete(key)
  }
}

export function createLastingDatabase(): {
  readonly database: MemoryDatabase
  readonly transaction: MemoryTransaction
} {
  const undo: Undo[] = []
  const database = createMemoryDatabase()
  const tables = Object.keys(database.rows).map((name) => [name, new LastingMap(undo)])
  database.rows = Object.fromEntries(tables) as MemoryRows
  return { database, transaction: new LastingTransaction(database, undo) }
}

class LastingTransaction extends MemoryTransaction {
  readonly #database: MemoryDatabase
  readonly #undo: Undo[]
  #saved = 0
  #open = false

  constructor(database: MemoryDatabase, undo: Undo[]) {
    super(database)
    this.#database = database
    this.#undo = undo
  }

  override begin(): void {
    this.#open = true
    this.#undo.length = 0
  }

  override commit(): void {
    this.#open = false
    this.#undo.length = 0
  }

  override rollback(): void {
    this.#takeBack(0)
    this.#open = false
  }

  override save(): void {
    this.#saved = this.#undo.length
  }

  override keep(): void {}

  override undo(): void {
    this.#takeBack(this.#saved)
  }

  override stands(): boolean {
    return this.#open
  }

  override rows(): MemoryRows {
    return this.#database.rows
  }

  override own<T extends Table>(table: T): Map<string, RowOf<T>> {
    return this.#database.rows[table] as unknown as Map<string, RowOf<T>>
  }

  #takeBack(to: number): void {
    while (this.#undo.length > to) this.#undo.pop()?.()
  }
}
