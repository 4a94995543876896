// Hidden classes of V8: two objects of one are read by the same machine code. One that each object has for itself throws that code away.
import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'

setFlagsFromString('--allow-natives-syntax')

export const haveOneClass = runInThisContext('(one, other) => %HaveSameMap(one, other)') as (
  one: object,
  other: object,
) => boolean
