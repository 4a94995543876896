// Bundles of a simulated consumer: two archives, each with the secret in it, sealed to pond before the storm; and the look of a process into its folder.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from '../../src/client/contract.ts'
import { tarOf } from '../harness/tar-writer.ts'
import type { Place } from './place.ts'
import { sealArchive } from './sealed.ts'

/** Content of the one file of a bundle, by the bundle's digest. */
export type Bundles = Map<string, Buffer>

const FILE = 'inside/input'
/** The second takes more than one frame. */
const SIZES = [700, 90_000] as const

/** The archives as pond has them, by their digests. */
export async function makeBundles(
  client: Client,
  { random, secret, history }: Pick<Place, 'random' | 'secret' | 'history'>,
): Promise<Bundles> {
  const bundles: Bundles = new Map()
  for (const size of SIZES) {
    const content = Buffer.concat([Buffer.from(secret), random.bytes(size)])
    const { sealed, bytes } = await sealArchive(
      random,
      tarOf({ name: 'inside', type: '5' }, { name: FILE, body: content }),
    )
    const params = { digest: sealed.digest }
    const put = await client.call('putBundle', { params, query: { offset: 0, size: sealed.size }, body: bytes })
    const kept = put.ok ? await client.call('sealBundle', { params, body: { sealed } }) : put
    if (!kept.ok) throw new Error(kept.error.message)
    history.rename(sealed.digest, `bundle ${bundles.size}`)
    bundles.set(sealed.digest, content)
  }
  return bundles
}

/** What a process finds in its folder, once its bundle was unpacked there. */
export const lookInto = (work: string): Buffer => readFileSync(join(work, FILE))
