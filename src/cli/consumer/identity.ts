// pond identity: what this client opens with and signs with, as others need to know it. The private halves stay in their file.
import { fingerprint } from '../../seal/fingerprint.ts'
import { describeIdentity } from '../../seal/identity.ts'
import { clientHome } from '../config.ts'
import type { Io } from '../io.ts'
import { createOutput, fields } from '../output.ts'
import { identityFile, needIdentity } from '../trust/identity.ts'

export interface HomeFlags {
  readonly home?: string
  readonly json?: boolean
}

export async function showIdentity(io: Io, flags: HomeFlags): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json === true })
  const home = clientHome(io.env, flags.home)
  const { identity, made } = await needIdentity(home)
  const { recipient, signer } = describeIdentity(identity)
  const prints = {
    recipient: fingerprint(identity.sealing.publicKey),
    signer: fingerprint(identity.signing.publicKey),
  }
  await out.result({ recipient, signer, fingerprints: prints, file: identityFile(home), made }, () =>
    fields([
      ['recipient', recipient],
      ['fingerprint', prints.recipient],
      ['signer', signer],
      ['its own', prints.signer],
      ['file', identityFile(home)],
    ]),
  )
  if (made) await out.note('made just now; the file is also its backup: without it nothing that is sealed to it opens')
  return 0
}
