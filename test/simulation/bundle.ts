// Bundles of a simulated consumer: two archives, each with the secret in it, sealed to pond before the storm; and the look of a process into its folder.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '../../src/client/contract.ts'
import type { Plan } from '../../src/executor/contract.ts'
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
  { random, secret }: Pick<Place, 'random' | 'secret'>,
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
    bundles.set(sealed.digest, content)
  }
  return bundles
}

let root: string | undefined

/** Who dies in the middle leaves its folder to the end of the run. */
function makeFolder(): string {
  if (root === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'pond-simulation-'))
    process.once('exit', () => rmSync(made, { recursive: true }))
    root = made
  }
  return mkdtempSync(join(root, 'box-'))
}

/** What a process finds in its folder, as a real one does: `prepare` fills it on the real disk. */
export async function lookInto({ prepare }: Plan): Promise<Buffer | undefined> {
  if (!prepare) return undefined
  const folder = makeFolder()
  const work = join(folder, 'work')
  try {
    mkdirSync(work)
    await prepare(work)
    return readFileSync(join(work, FILE))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
