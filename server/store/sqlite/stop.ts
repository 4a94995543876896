// Cordons and pauses, as rows of SQLite.
import type { StopRow, StopTarget } from '../row.ts'
import { given } from './column.ts'
import type { Connection } from './connection.ts'

interface RawStop {
  readonly target: StopTarget
  readonly at: number
  readonly who: string
  readonly note: string | null
  readonly until: number | null
}

const stopOf = ({ target, at, who, note, until }: RawStop): StopRow => ({
  ...{ target, at, by: who },
  ...given({ note, until }),
})

const select = 'select target, at, who, note, until from stops'

export const stopReads = {
  getStop(db: Connection, target: StopTarget) {
    const raw = db.get<RawStop>(`${select} where target = ?`, target)
    return raw && stopOf(raw)
  },
  listStops(db: Connection) {
    return db.all<RawStop>(`${select} order by target`).map(stopOf)
  },
}

export const stopWrites = {
  putStop(db: Connection, { target, at, by, note, until }: StopRow) {
    db.run(
      'insert or replace into stops (target, at, who, note, until) values (?, ?, ?, ?, ?)',
      ...[target, at, by, note, until],
    )
  },
  deleteStop(db: Connection, target: StopTarget) {
    db.run('delete from stops where target = ?', target)
  },
}
