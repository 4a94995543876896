// How a planted bug gets hold of a part: a copy of it whose methods may be replaced one by one.

export function bound<T extends object>(thing: T): T {
  const names = [...Object.keys(thing), ...Object.getOwnPropertyNames(Object.getPrototypeOf(thing))] as (keyof T)[]
  const methods = names.flatMap((name) => {
    const value = thing[name]
    return typeof value === 'function' && name !== 'constructor' ? [[name, value.bind(thing)]] : []
  })
  return Object.fromEntries(methods) as T
}
