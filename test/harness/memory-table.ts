// How rows in a map are found and ordered.

export const byId = (one: { readonly id: string }, other: { readonly id: string }) =>
  one.id < other.id ? -1 : Number(one.id > other.id)

export const newestFirst = (one: { readonly id: string }, other: { readonly id: string }) => byId(other, one)

export const sorted = <Row extends { readonly id: string }>(table: ReadonlyMap<string, Row>) =>
  [...table.values()].sort(byId)

export const find = <Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean) =>
  [...table.values()].find(wanted)

export const where = <Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean) =>
  [...table.values()].filter(wanted)
