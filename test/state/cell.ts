// Plays rows written out by hand against the table of a law: every state and event, every listed target. Knows no law itself.
import type { Test } from 'tap'

export interface Row<Subject, Event, Answer> {
  readonly says: string
  readonly given: Subject
  readonly event: Event
  /** Defaults to `now` of the law. */
  readonly now?: number
  readonly answer: Answer
}

export interface Law<Subject extends { readonly state: string }, Event extends { readonly type: string }, Answer> {
  readonly table: Readonly<Record<string, Readonly<Record<string, { readonly to: readonly string[] } | undefined>>>>
  readonly step: (subject: Subject, event: Event, now: number) => Answer
  /** The state that an answer leads to; undefined for a refusal. */
  readonly reached: (answer: Answer) => string | undefined
  readonly now: number
  /** One subject in each state. */
  readonly subjects: readonly Subject[]
  /** One event of each type. */
  readonly events: readonly Event[]
  /** By hand: the events that each state has a cell for, and where the cell may lead. */
  readonly cells: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
  readonly rows: readonly Row<Subject, Event, Answer>[]
}

export function checkLaw<Subject extends { readonly state: string }, Event extends { readonly type: string }, Answer>(
  t: Test,
  law: Law<Subject, Event, Answer>,
): void {
  const targets = Object.entries(law.table).map(([state, row]) => [
    state,
    Object.fromEntries(Object.entries(row).map(([event, cell]) => [event, cell?.to])),
  ])
  t.strictSame(Object.fromEntries(targets), law.cells, 'the table has exactly these cells and targets')
  t.strictSame(law.subjects.map((subject) => subject.state).sort(), Object.keys(law.cells).sort(), 'a subject a state')
  checkAbsent(t, law)
  const reached = new Map<string, Set<string>>()
  for (const row of law.rows) {
    const cell = `${row.given.state} ${row.event.type}`
    const answer = law.step(row.given, row.event, row.now ?? law.now)
    t.strictSame(answer, row.answer, `${cell}: ${row.says}`)
    const state = law.reached(answer)
    const seen = reached.get(cell) ?? new Set()
    reached.set(cell, state === undefined ? seen : seen.add(state))
  }
  for (const [state, row] of Object.entries(law.cells)) {
    for (const [event, to] of Object.entries(row)) {
      const seen = reached.get(`${state} ${event}`)
      t.strictSame(
        seen && [...seen].sort(),
        [...to].sort(),
        `${state} ${event}: the rows reach its targets and no other`,
      )
    }
  }
}

function checkAbsent<Subject extends { readonly state: string }, Event extends { readonly type: string }, Answer>(
  t: Test,
  law: Law<Subject, Event, Answer>,
): void {
  for (const subject of law.subjects) {
    for (const event of law.events) {
      if (law.cells[subject.state]?.[event.type]) continue
      const before = structuredClone(subject)
      const answer = law.step(subject, event, law.now)
      t.strictSame(answer, { refused: 'not_possible' }, `${subject.state} ${event.type}: not possible`)
      t.strictSame(subject, before, `${subject.state} ${event.type}: nothing is touched`)
    }
  }
}
