// The security headers of whatever a browser may see. They are the same in every reply, so helmet is asked once: in its hook it was a quarter of what a
// call of Fastify allocates.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'

/** Pond serves no page: nothing of a reply may run or be framed. */
const NO_PAGE = { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } }

export function securityHeaders(): Readonly<Record<string, string>> {
  const request = new IncomingMessage(new Socket())
  const reply = new ServerResponse(request)
  helmet({ crossOriginResourcePolicy: false, contentSecurityPolicy: NO_PAGE })(request, reply, (refused) => {
    if (refused) throw refused
  })
  return Object.fromEntries(Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]))
}
