// The real world of a verb, made from the streams and the environment that bin hands in.
import { readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { HttpNetwork } from '../client/network.ts'
import type { ProxySettings } from '../client/proxy.ts'
import { systemClock } from '../system/clock.ts'
import type { Network } from '../system/network.ts'
import { systemRandom } from '../system/random.ts'
import { readProxies } from './config.ts'
import type { Io, SignalName, Sink, Source } from './io.ts'

export interface SystemParts {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signals: { on(name: SignalName, run: () => void): unknown; off(name: SignalName, run: () => void): unknown }
}

export function createSystemIo({ stdin, stdout, stderr, env, signals }: SystemParts): Io {
  return {
    stdin: sourceOf(stdin),
    stdout: sinkOf(stdout),
    stderr: sinkOf(stderr),
    env,
    clock: systemClock,
    random: systemRandom,
    version: readVersion(),
    connect: (socketPath) => connect(readProxies(env), socketPath),
    onSignal(name, run) {
      signals.on(name, run)
      return () => signals.off(name, run)
    },
    async choose(question, choices) {
      const { isCancel, select } = await import('@clack/prompts')
      const picked = await select({ message: question, options: [...choices], output: stderr })
      return isCancel(picked) ? undefined : picked
    },
    async askSecret(question) {
      const { isCancel, password } = await import('@clack/prompts')
      const answer = await password({ message: question, output: stderr })
      return isCancel(answer) ? undefined : answer
    },
  }
}

/** undici takes longer to load than most verbs to run, so it is loaded by the first request. */
function connect(proxies: ProxySettings, socketPath?: string): HttpNetwork {
  let made: Promise<HttpNetwork> | undefined
  const load = async () => {
    const { createNetwork } = await import('../client/network.ts')
    return createNetwork({ clock: systemClock, proxies, ...(socketPath === undefined ? {} : { socketPath }) })
  }
  const request: Network = async (call) => {
    made ??= load()
    return (await made).request(call)
  }
  const renew = () => void made?.then((network) => network.renew())
  return { request, renew, close: async () => (await made)?.close() }
}

function sourceOf(stream: SystemParts['stdin']): Source {
  return {
    isTty: stream.isTTY === true,
    async readAll() {
      const parts: Buffer[] = []
      for await (const part of stream) parts.push(Buffer.from(part))
      return Buffer.concat(parts)
    },
  }
}

function sinkOf(stream: SystemParts['stdout']): Sink {
  // The write's own callback tells of a closed pipe; without a listener the event would end the process first.
  stream.on('error', () => {})
  return {
    isTty: stream.isTTY === true,
    write: (data) =>
      new Promise((resolve, reject) => {
        stream.write(data, (error) => (error ? reject(error) : resolve()))
      }),
  }
}

/** The package's own version, found from src in development and from dist when installed. */
function readVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'))
      if (typeof found === 'object' && found && 'version' in found) return String(found.version)
    } catch {
      // The other place has it.
    }
  }
  return '0.0.0'
}
