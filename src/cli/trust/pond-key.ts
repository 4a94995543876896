// Pond's own keys, to which things are sealed: pinned when they are first seen, followed where the pinned key signed the new ones, refused otherwise.
import { rotation } from '../../protocol/renewal.ts'
import type { ReplyOf } from '../../protocol/route.ts'
import { type Dsse, payloadType } from '../../protocol/sealed.ts'
import { openDsse } from '../../seal/dsse.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { SealError } from '../../seal/refusal.ts'
import { Failure } from '../failure.ts'
import { ask, type Patience } from '../patience.ts'
import { need, type Session } from '../session.ts'
import { changeTrust, type PinnedPond, readTrust } from './store.ts'

export type Caller = ReplyOf<'whoami'>

/** Of the signing key: it vouches for the sealing key. */
export const pondFingerprint = ({ signing_key }: PinnedPond) => fingerprint(signing_key)

/** `unproved`: its signing key did not sign what it says now. `changed`: nor did the pinned one. */
export type PondVerdict = 'same' | 'new' | 'rotated' | 'unproved' | 'changed'

export function judgePond(pinned: PinnedPond | undefined, told: Caller['pond']): PondVerdict {
  if (pinned?.signing_key === told.signing_key && pinned.sealing_key === told.sealing_key) return 'same'
  if (!isProvedBy(told.signing_key, told)) return 'unproved'
  if (!pinned) return 'new'
  return isProvedBy(pinned.signing_key, told) ? 'rotated' : 'changed'
}

/** Whether this key signed a rotation that names both keys as they are told. */
function isProvedBy(key: string, { signing_key, sealing_key, proofs }: Caller['pond']): boolean {
  return proofs.some((proof) => {
    const said = read(proof, key)
    return said?.kind === 'pond' && said.signing_key === signing_key && said.sealing_key === sealing_key
  })
}

function read(proof: Dsse, key: string) {
  try {
    return rotation.safeParse(JSON.parse(openDsse(proof, payloadType.rotation, key).toString('utf8'))).data
  } catch (error) {
    if (error instanceof SealError || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Who we are to pond, and its keys as they may be sealed to. */
export async function knowPond(
  session: Session,
  patience?: Patience,
): Promise<{ readonly me: Caller; readonly keys: PinnedPond }> {
  const { client, connection, out } = session
  const me = need('ask who we are', await ask(client, 'whoami', { patience }))
  const { signing_key, sealing_key } = me.pond
  const keys = { signing_key, sealing_key }
  const verdict = judgePond((await readTrust(connection.home)).ponds[connection.url], me.pond)
  switch (verdict) {
    case 'same':
      break
    case 'new':
    case 'rotated':
      await pinPond(session, keys)
      await out.note(
        verdict === 'new'
          ? `trusting ${connection.url} from now on: ${pondFingerprint(keys)} (compare: pond whoami, on its host)`
          : `${connection.url} has new keys, signed by the one that was trusted: ${pondFingerprint(keys)}`,
      )
      break
    case 'unproved':
    case 'changed':
      throw refusePond(connection.url, verdict, keys)
    default:
      verdict satisfies never
  }
  return { me, keys }
}

export async function pinPond({ connection, io }: Session, keys: PinnedPond): Promise<void> {
  await changeTrust({ home: connection.home, clock: io.clock }, (before) => ({
    ...before,
    ponds: { ...before.ponds, [connection.url]: keys },
  }))
}

export function refusePond(url: string, verdict: 'unproved' | 'changed', keys: PinnedPond): Failure {
  const shown = pondFingerprint(keys)
  return verdict === 'changed'
    ? new Failure({
        what: `${url} shows another key than the one that is trusted: ${shown}`,
        why: 'the trusted key did not sign it; somebody may stand between here and pond',
        next: 'Ask its operator for the fingerprint (pond whoami, on its host), then: pond trust pond.',
      })
    : new Failure({
        what: `${url} shows keys that do not belong together: ${shown}`,
        why: 'its signing key did not sign its sealing key; somebody may stand between here and pond',
        next: 'Seal nothing to it; tell its operator.',
      })
}
