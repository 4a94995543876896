// Whether a job is signed here: when somebody asks for it, or when what it names is in client custody and opens only for a signed one.
import type { Answer } from '../../client/contract.ts'
import type { JobSpec } from '../../protocol/job.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { createSigner, type Signer } from '../../seal/signature.ts'
import { callFailure, Failure } from '../failure.ts'
import { ask, type Patience } from '../patience.ts'
import type { Session } from '../session.ts'
import { needIdentity } from './identity.ts'

export interface SigningWish {
  /** It is signed, whatever it names. */
  readonly sign?: boolean | undefined
  readonly job: JobSpec
  readonly patience: Patience
}

export async function chooseSigner(
  session: Session,
  { sign = false, job, patience }: SigningWish,
): Promise<Signer | undefined> {
  const named = sign ? [] : await signersOf(session, job, patience)
  if (!sign && named.length === 0) return undefined
  const { identity } = await needIdentity(session.connection.home)
  const foreign = named.find(({ signer }) => signer !== identity.signing.publicKey)
  if (!foreign) return createSigner(identity.signing)
  throw new Failure({
    what: `${foreign.what} opens only for jobs that ${fingerprint(foreign.signer)} signed`,
    why: 'that is another identity than the one of this client',
    next: 'Submit with the --home of whoever sealed it, or seal it anew here.',
  })
}

interface Named {
  readonly what: string
  readonly signer: string
}

async function signersOf({ client }: Session, job: JobSpec, patience: Patience): Promise<readonly Named[]> {
  const { credential, bundle } = job
  const found: Named[] = []
  if (credential !== undefined) {
    const answer = await ask(client, 'getCredential', { params: { name: credential }, patience })
    const signer = signerIn(answer, `the credential ${credential}`)
    if (signer !== undefined) found.push({ what: `the credential ${credential}`, signer })
  }
  if (bundle !== undefined) {
    const answer = await ask(client, 'getBundle', { params: { digest: bundle }, patience })
    const signer = signerIn(answer, 'the bundle')
    if (signer !== undefined) found.push({ what: 'the bundle', signer })
  }
  return found
}

/** A key that may not look leaves it to --sign; what is not there pond refuses better. */
function signerIn(answer: Answer<'getCredential'> | Answer<'getBundle'>, what: string): string | undefined {
  if (answer.ok) return answer.reply.signer
  if (answer.error.code === 'forbidden' || answer.error.code === 'not_found') return undefined
  throw callFailure(`look at ${what}`, answer.error)
}
