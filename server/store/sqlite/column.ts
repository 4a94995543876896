// How values that SQLite has no type for stand in a column: small nested ones as JSON text, absent ones as null, booleans as 0 and 1.

export type Given<T> = { readonly [K in keyof T]?: NonNullable<T[K]> }

/** The columns that hold something, ready to be spread into a row. */
export function given<T extends object>(columns: T): Given<T> {
  const row: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(columns)) if (value !== null && value !== undefined) row[name] = value
  return row as Given<T>
}

/** JSON text of a value, or null for an absent one. */
export const toJson = (value: object | undefined): string | null => (value === undefined ? null : JSON.stringify(value))

/** JSON of a record that says nothing; its column is null. */
export const NOTHING = '{}'

/** JSON text of what is there of a record, or null where nothing is. */
export function toFacts(record: object): string | null {
  const text = JSON.stringify(record)
  return text === NOTHING ? null : text
}

export function fromFacts<T extends object>(text: string | null): T {
  return JSON.parse(text ?? NOTHING) as T
}

export function fromJson<T>(text: string): T
export function fromJson<T>(text: string | null): T | undefined
export function fromJson<T>(text: string | null): T | undefined {
  return text === null ? undefined : (JSON.parse(text) as T)
}

export const toBit = (flag: boolean): number => (flag ? 1 : 0)
