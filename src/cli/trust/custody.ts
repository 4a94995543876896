// To whom a credential or a bundle is sealed: to pond itself, or to workers that a person here has checked, and then signed here.
import type { Custody, CustodyDetached, SealedDetached, SealedInline } from '../../protocol/sealed.ts'
import { signSealed } from '../../seal/envelope.ts'
import { createSigner, type Signer } from '../../seal/signature.ts'
import { Failure } from '../failure.ts'
import type { Patience } from '../patience.ts'
import type { Session } from '../session.ts'
import { needIdentity } from './identity.ts'
import { knowPond } from './pond-key.ts'
import { readTrust, type Trust } from './store.ts'
import { createWorkerPins } from './worker.ts'

export interface SealTarget {
  /** Name of the project that the seal is for. */
  readonly project: string
  /** X25519 keys in unpadded base64url. */
  readonly recipients: readonly string[]
  /** Client custody: what is sealed is signed with it, and so is every job that uses it. */
  readonly signer?: Signer
}

/** An admin token acts for this project unless it names another. */
const DEFAULT_PROJECT = 'default'

export async function chooseTarget(
  session: Session,
  { sealTo, patience }: { readonly sealTo?: readonly string[] | undefined; readonly patience?: Patience },
): Promise<SealTarget> {
  const { home, project: asked, url } = session.connection
  const { me, keys } = await knowPond(session, patience)
  const project = me.project ?? asked ?? DEFAULT_PROJECT
  if (!sealTo || sealTo.length === 0) return { project, recipients: [keys.sealing_key] }
  const pins = createWorkerPins(session, { trust: await readTrust(home), submittedAt: session.io.clock.now() })
  await pins.meet(patience)
  const trust = await pins.settle()
  const recipients = [...new Set(sealTo.map((name) => sealingKeyOf(trust, url, name)))]
  const { identity } = await needIdentity(home)
  return { project, recipients, signer: createSigner(identity.signing) }
}

/** Only what a person has checked: pond could have named any key when it was first seen. */
function sealingKeyOf(trust: Trust, url: string, name: string): string {
  const known = Object.values(trust.workers).filter((it) => it.pond === url && (it.name === name || it.id === name))
  const checked = known.filter((it) => it.checked)
  if (checked.length === 1 && checked[0]) return checked[0].sealing_key
  if (checked.length > 1) {
    throw new Failure({
      what: `${checked.length} trusted workers are called ${name}`,
      next: 'Name one by its id: pond trust ls.',
      exit: 'usage',
    })
  }
  throw new Failure({
    what: `${name} is no worker that is trusted here`,
    why: known.length > 0 ? 'its key was pinned when it was first seen, and nobody compared it' : '',
    next: `Compare its fingerprint with its owner: pond trust worker ${name}.`,
  })
}

/** What sealed things name besides kind and name. */
export const placeOf = ({ project, signer }: SealTarget) => ({
  project,
  ...(signer ? { signer: signer.publicKey } : {}),
})

export function custodyOf(sealed: SealedInline, target: SealTarget): Custody
export function custodyOf(sealed: SealedDetached, target: SealTarget): CustodyDetached
export function custodyOf(sealed: SealedInline | SealedDetached, { signer }: SealTarget) {
  return signer ? { signed: signSealed(sealed, signer) } : { sealed }
}
