// Every small change to a value or to bytes, so that a test can ask that each of them is refused.

export interface Mutation<T> {
  /** Path and kind of change, for people. */
  readonly what: string
  readonly value: T
}

/** The value with one field deleted, of another type, of another value, or with one field too many, for every field at every depth. */
export function* mutateValue(value: unknown, path = '$'): Generator<Mutation<unknown>> {
  for (const other of otherTypes(value)) yield { what: `${path} of another type`, value: other }
  for (const other of otherValues(value)) yield { what: `${path} of another value`, value: other }
  if (Array.isArray(value)) yield* mutateList(value, path)
  else if (typeof value === 'object' && value !== null) yield* mutateObject(value, path)
}

function* mutateObject(value: object, path: string): Generator<Mutation<unknown>> {
  yield { what: `${path} with a field too many`, value: { ...value, added: 1 } }
  // Not `__proto__: 1`, which would set the prototype: this is what JSON.parse makes of such a name.
  yield { what: `${path} with __proto__`, value: Object.defineProperty({ ...value }, '__proto__', field(1)) }
  for (const [name, inner] of Object.entries(value)) {
    const { [name]: _, ...rest } = value as Record<string, unknown>
    yield { what: `${path}.${name} deleted`, value: rest }
    for (const { what, value: changed } of mutateValue(inner, `${path}.${name}`)) {
      yield { what, value: { ...value, [name]: changed } }
    }
  }
}

const field = (value: unknown) => ({ value, enumerable: true, configurable: true, writable: true })

function* mutateList(value: readonly unknown[], path: string): Generator<Mutation<unknown>> {
  for (const [index, inner] of value.entries()) {
    yield { what: `${path}[${index}] deleted`, value: value.toSpliced(index, 1) }
    yield { what: `${path}[${index}] twice`, value: value.toSpliced(index, 0, inner) }
    for (const { what, value: changed } of mutateValue(inner, `${path}[${index}]`)) {
      yield { what, value: value.with(index, changed) }
    }
  }
  if (value.length > 1) yield { what: `${path} reversed`, value: value.toReversed() }
}

function otherTypes(value: unknown): readonly unknown[] {
  const all = [null, true, 7, 'text', [], {}]
  return all.filter((other) => kindOf(other) !== kindOf(value))
}

function otherValues(value: unknown): readonly unknown[] {
  if (typeof value === 'number') return [value + 1, -1, value + 0.5, Number.MAX_SAFE_INTEGER]
  if (typeof value === 'boolean') return [!value]
  if (typeof value === 'string') return [...textChanges(value)]
  return []
}

/** Characters at the ends and within, swapped for their neighbours; text cut, doubled and lengthened by what lenient decoders skip. */
function* textChanges(text: string): Generator<string> {
  yield ''
  yield `${text} `
  yield `${text}=`
  yield `${text}\n`
  yield text + text
  yield text.slice(0, -1)
  if (text.toUpperCase() !== text) yield text.toUpperCase()
  for (const at of sample(text.length, 16)) {
    const code = text.charCodeAt(at)
    yield text.slice(0, at) + String.fromCharCode(code ^ 1) + text.slice(at + 1)
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'list' : typeof value
}

/** One bit flipped in every byte of short ones and in a sample of long ones; cut at the front and at the back; lengthened. */
export function* mutateBytes(bytes: Buffer, most = 512): Generator<Mutation<Buffer>> {
  for (const at of sample(bytes.length, most)) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
    yield { what: `bit ${at % 8} of byte ${at}`, value: changed }
  }
  yield { what: 'without the first byte', value: bytes.subarray(1) }
  yield { what: 'without the last byte', value: bytes.subarray(0, -1) }
  yield { what: 'with a byte too many', value: Buffer.concat([bytes, Buffer.of(0)]) }
  yield { what: 'empty', value: Buffer.alloc(0) }
}

/** Places in a length: all of them, or so many evenly, first and last among them. */
export function sample(length: number, most: number): readonly number[] {
  if (length <= most) return Array.from({ length }, (_, index) => index)
  return Array.from({ length: most }, (_, index) => Math.floor((index * (length - 1)) / (most - 1)))
}
