// The form of every law: a table of pure cells. A cell says where it may lead, so that diagrams are printed from what runs.

/** What a cell answers when an event is not allowed now. An absent cell is the refusal `not_possible`. */
export interface Refused<Reason extends string = never> {
  readonly refused: Reason | 'not_possible'
}

export interface Cell<Subject, Event, State extends string, Step> {
  /** Every state that the step may lead to; the diagram and a property test read it. */
  readonly to: readonly State[]
  /** When the arrow is taken, in a few words for the diagram. */
  readonly says: string
  step(subject: Subject, event: Event, now: number): Step
}

export type Table<Subject, Events, State extends string, Step> = {
  readonly [S in State]: { readonly [E in keyof Events]?: Cell<Subject, Events[E], State, Step> }
}

export const notPossible: Refused = { refused: 'not_possible' }

export function refused<Reason extends string>(reason: Reason): Refused<Reason> {
  return { refused: reason }
}

/** Prints a table as a Mermaid state diagram, one arrow per (state, event, target). */
export function printDiagram<Subject, Events, State extends string, Step>(
  table: Table<Subject, Events, State, Step>,
  start: State,
): string {
  const lines = ['stateDiagram-v2', `  [*] --> ${start}`]
  for (const [from, row] of Object.entries(table) as [State, Table<Subject, Events, State, Step>[State]][]) {
    const cells = Object.entries(row) as [string, Cell<Subject, unknown, State, Step>][]
    // What leads nowhere else is an end.
    if (cells.every(([, { to }]) => to.every((state) => state === from))) lines.push(`  ${from} --> [*]`)
    for (const [event, cell] of cells) {
      for (const to of cell.to) lines.push(`  ${from} --> ${to}: ${event}`)
    }
  }
  return lines.join('\n')
}

/** Prints a table as Markdown rows: state, event, targets, meaning. */
export function printRows<Subject, Events, State extends string, Step>(
  table: Table<Subject, Events, State, Step>,
): string {
  const lines = ['| state | event | leads to | when |', '|---|---|---|---|']
  for (const [from, row] of Object.entries(table) as [State, Table<Subject, Events, State, Step>[State]][]) {
    for (const [event, cell] of Object.entries(row) as [string, Cell<Subject, unknown, State, Step>][]) {
      lines.push(`| ${from} | ${event} | ${cell.to.join(', ')} | ${cell.says} |`)
    }
  }
  return lines.join('\n')
}
