// Where pond is: parses the base URL and refuses what would send a token in the clear. Sends nothing.

export type BaseUrl = { readonly ok: true; readonly url: string } | { readonly ok: false; readonly why: string }

/** Reads pond's base URL, which may have a path; the answer has no slash at its end. */
export function parseBaseUrl(text: string, insecureHttp = false): BaseUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) return bad(`${JSON.stringify(text)} is no http:// or https:// URL`)
  if (url.username || url.password) return bad('the URL must not hold a name or a password')
  if (url.search || url.hash) return bad('the URL must not hold a query or a fragment')
  if (url.protocol === 'http:' && !insecureHttp && !isLoopback(url.hostname)) {
    return bad(`${url.origin} would carry the token in the clear`)
  }
  return { ok: true, url: url.origin + url.pathname.replace(/\/+$/, '') }
}

export function isLoopback(hostname: string): boolean {
  return /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname)
}

const bad = (why: string): BaseUrl => ({ ok: false, why })
