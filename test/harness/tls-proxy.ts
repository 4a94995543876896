// nginx as people put it in front of pond: it ends TLS, and cuts what is idle for too long. Needs the packages nginx-light and openssl.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface TlsProxy {
  readonly url: string
  /** Variables with which a program believes its certificate. */
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

export interface TlsProxyOptions {
  /** Where pond listens. */
  readonly target: string
  readonly port: number
  /** A request that gets no byte for so long is answered with 504 and a page of its own. */
  readonly idleSeconds: number
}

const run = promisify(execFile)

export async function startTlsProxy({ target, port, idleSeconds }: TlsProxyOptions): Promise<TlsProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'pond-tls-'))
  const [cert, key, config] = ['cert.pem', 'key.pem', 'nginx.conf'].map((name) => join(folder, name))
  if (!cert || !key || !config) throw new Error('three names make three paths')
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await run('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', cert])
  await writeFile(config, configOf({ folder, cert, key, target, port, idleSeconds }))
  const words = ['-p', folder, '-c', config, '-e', join(folder, 'error.log')]
  // It answers once it listens and goes into the background.
  await run('nginx', words)
  return {
    url: `https://localhost:${port}`,
    env: { NODE_EXTRA_CA_CERTS: cert },
    async close() {
      await run('nginx', [...words, '-s', 'stop'])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

interface Paths extends TlsProxyOptions {
  readonly folder: string
  readonly cert: string
  readonly key: string
}

/** Bodies pass as they come, and a request that failed is not tried again: pond's clients do that themselves. */
function configOf({ folder, cert, key, target, port, idleSeconds }: Paths): string {
  return `
pid ${folder}/pid;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log ${folder}/access.log;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    client_max_body_size 0;
    location / {
      proxy_pass ${target};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Host $http_host;
      proxy_read_timeout ${idleSeconds}s;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_next_upstream off;
    }
  }
}
`
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
