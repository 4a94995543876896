// Signing keys of workers that are the same each time, made from a letter. No secret: only tests use them.
import { createSigner, type Signer } from '../../src/seal/signature.ts'
import { signingPairOf } from './signing-key.ts'

/** Of the machine of this letter. */
export const workerSigner = (letter: string): Signer =>
  createSigner(signingPairOf(Buffer.alloc(32, `worker ${letter}`)))
