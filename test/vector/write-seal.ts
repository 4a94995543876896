// Writes the golden vectors of sealing: `npx tsx test/vector/write-seal.ts`. For a new format only, and then beside the old ones: what was sealed once must open for ever.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../tidy/source.ts'
import { makeEnvelopeCases, makeKeyCases, makeSignedCases, makeStreamCases } from './make-seal.ts'

const files = {
  key: { about: 'keys as text and as fingerprints', cases: makeKeyCases() },
  envelope: { about: 'boxes, envelopes, custody and grants', cases: await makeEnvelopeCases() },
  signed: { about: 'jobs, rotations and attestations', cases: makeSignedCases() },
  segment: { about: 'streams of short segments', cases: await makeStreamCases() },
}

const folder = join(root, 'test', 'vector', 'seal')
mkdirSync(folder, { recursive: true })
for (const [name, content] of Object.entries(files)) {
  const path = join(folder, `${name}.json`)
  if (existsSync(path)) throw new Error(`${path} is there; the present code must open it`)
  writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`)
}
