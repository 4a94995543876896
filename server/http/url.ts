// Where a server that listens is reached from its own host.
import type { Server } from 'node:net'

export function urlOf(
  address: ReturnType<Server['address']>,
  options: { readonly host: string; readonly tls?: object },
): string {
  if (address === null || typeof address === 'string') throw new Error('a listening server has a port')
  const any = options.host === '0.0.0.0' || options.host === '::'
  const host = any ? '127.0.0.1' : options.host.includes(':') ? `[${options.host}]` : options.host
  return `${options.tls ? 'https' : 'http'}://${host}:${address.port}`
}
