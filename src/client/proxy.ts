// HTTP proxies: which one a URL is reached through, as the environment's usual variables say. Reads no environment and sends nothing.
import { isLoopback } from './base-url.ts'

/** As HTTPS_PROXY, HTTP_PROXY and NO_PROXY give them. */
export interface ProxySettings {
  readonly https?: string
  readonly http?: string
  /** Hosts, domains (`.lab.example`), `host:port` or `*`, separated by commas or blanks. */
  readonly no?: string
}

export interface HttpProxy {
  /** Without name and password: this may be shown. */
  readonly origin: string
  /** The value of Proxy-Authorization. */
  readonly authorization?: string
}

export class ProxySettingError extends Error {
  override readonly name = 'ProxySettingError'
}

/** Undefined: directly. Loopback never goes through a proxy. Throws ProxySettingError, which does not say what the variable holds. */
export function proxyFor(target: string, { https, http, no = '' }: ProxySettings): HttpProxy | undefined {
  const url = new URL(target)
  const [name, text] = url.protocol === 'https:' ? (['HTTPS_PROXY', https] as const) : (['HTTP_PROXY', http] as const)
  if (!text || isLoopback(url.hostname) || isExcepted(url, no)) return undefined
  return readProxy(name, text)
}

const defaultPort = (url: URL) => url.port || (url.protocol === 'https:' ? '443' : '80')

function isExcepted(url: URL, no: string): boolean {
  return no.split(/[,\s]+/).some((entry) => {
    if (entry === '*') return true
    const said = entry.toLowerCase().replace(/^\*?\./, '')
    const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(isBareAddress(said) ? `[${said}]` : said) ?? []
    if (name === '' || (port !== undefined && port !== defaultPort(url))) return false
    return url.hostname === name || url.hostname.endsWith(`.${name}`)
  })
}

/** IPv6, whose last colon begins no port. */
const isBareAddress = (text: string) => /^[^[]*:[^[]*:/.test(text)

function readProxy(name: string, text: string): HttpProxy {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) throw new ProxySettingError(`${name} holds no http:// or https:// URL`)
  if (url.username === '') return { origin: url.origin }
  const said = `${unescaped(url.username)}:${unescaped(url.password)}`
  return { origin: url.origin, authorization: `Basic ${Buffer.from(said).toString('base64')}` }
}

/** A password with a bare `%` is taken as it stands, as other programs take it. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
