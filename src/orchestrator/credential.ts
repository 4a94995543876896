// The credential of a job: asked of pond, opened here and nowhere before, and judged before a process gets any of it. Nothing is written to the disk here.
import { envName, word } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'
import { type CredentialValues, credentialValues, type Dsse } from '../protocol/sealed.ts'
import { openInline } from '../seal/open/envelope.ts'
import { type ClaimScope, openFor, SupplyError, toSupplyError } from './grant.ts'

export interface Credential {
  readonly env: Readonly<Record<string, string>>
  /** Plain file name → content. */
  readonly files: Readonly<Record<string, Buffer>>
}

export const noCredential: Credential = { env: {}, files: {} }

/** Opens what pond granted for the credential `name`; rejects with SupplyError. */
export async function openCredential(scope: ClaimScope, name: string, signed: Dsse): Promise<Credential> {
  const place = { kind: 'credential', project: scope.project, name } as const
  try {
    const { sodium, sealed, content } = await openFor(scope, place, signed)
    return readCredential(await openInline(sodium, sealed, content))
  } catch (error) {
    throw toSupplyError(error, { ending: 'no_seal', what: 'the seal of the credential' })
  }
}

/** Names are told in what is refused, values never. */
export function readCredential(bytes: Buffer): Credential {
  const { env = {}, files = {} } = parse(bytes)
  for (const [name, value] of Object.entries(env)) {
    if (!envName.safeParse(name).success || reservedEnv.has(name)) throw refused(`must not set the variable ${name}`)
    if (!word.safeParse(value).success) throw refused(`has a value for ${name} that no variable can hold`)
  }
  for (const name of Object.keys(files)) {
    if (!looksLikeFile.test(name) || name === '.' || name === '..')
      throw refused(`has a file that cannot be called ${name}`)
  }
  const contents = Object.entries(files).map(([name, text]) => [name, Buffer.from(text, 'base64')] as const)
  const values = Object.values(env).map((text) => Buffer.byteLength(text))
  const size = [...values, ...contents.map(([, bytes]) => bytes.length)].reduce((sum, length) => sum + length, 0)
  // Pond cannot see it, and to search for all of it in what the job says takes memory.
  if (size > limit.credentialBytes) throw refused(`has more than ${limit.credentialBytes} bytes`)
  return { env, files: Object.fromEntries(contents) }
}

/** Besides POND_…: where the process finds its files. */
const reservedEnv: ReadonlySet<string> = new Set(['CREDENTIALS_DIRECTORY'])

/** As systemd names credentials, too. */
const looksLikeFile = /^[A-Za-z0-9._-]{1,255}$/

const refused = (what: string) => new SupplyError('no_seal', `the credential ${what.replace(/[^\x20-\x7e]/g, '?')}`)

function parse(bytes: Buffer): CredentialValues {
  try {
    return credentialValues.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    // Neither the parser's error nor the schema's: both quote what they read.
    throw refused('holds no values')
  }
}
