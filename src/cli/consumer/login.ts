// pond login: keeps a pond's URL and token for later verbs, after pond accepted the token.
import { type ConnectionFlags, checkToken, checkUrl, clientHome, readToken, writeState } from '../config.ts'
import { usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { connectTo, need } from '../session.ts'

export interface LoginFlags extends ConnectionFlags {
  readonly pond: string
}

export async function login(io: Io, flags: LoginFlags): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json === true })
  const url = checkUrl(flags.pond, flags.insecureHttp === true)
  const token = (await readToken(io, flags)) ?? (await askToken(io, url))
  const home = clientHome(io.env, flags.home)
  const network = io.connect()
  const connection = { url, token, project: flags.project, insecureHttp: flags.insecureHttp === true }
  try {
    const me = need(`log in to ${url}`, await connectTo(io, connection, network.request).call('whoami'))
    await writeState(home, url, { token, current: true })
    await out.result({ url, ...me }, () => `logged in to ${url} as ${me.name} (${me.project ?? 'every project'})`)
    return 0
  } finally {
    await network.close()
  }
}

/** A pipe is read, a person is asked without an echo. */
async function askToken(io: Io, url: string): Promise<string> {
  if (!io.stdin.isTty) return checkToken((await io.stdin.readAll()).toString('utf8'), 'stdin')
  const answer = await io.askSecret(`Token for ${url}`)
  if (answer === undefined) throw usageFailure('no token was given')
  return checkToken(answer, 'the answer')
}
