// Records the wire of the present step of the protocol: `npx tsx test/vector/write-wire.ts`. Once a step is released its recording stays as it is; until then a change of the wire is recorded anew.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROTOCOL } from '../../src/protocol/version.ts'
import { createPondRig } from '../harness/pond.ts'
import { root } from '../tidy/source.ts'
import { tellByHand, tellSwarm } from './wire-story.ts'
import { schemasOfNow, vectorPath, type WireVector } from './wire-vector.ts'

t.test(`step ${PROTOCOL} is recorded`, async (t) => {
  const first = await createPondRig(t)
  const keyFile = readFileSync(join(first.folder, 'pond-key.json'), 'utf8')
  const second = await createPondRig(t, { keyFile })
  const byHand = await tellByHand(first)
  const { story, pool } = await tellSwarm(t, second)
  const vector: WireVector = {
    about: `what is said under /orch in step ${PROTOCOL} of the protocol; test/vector/wire.test.ts plays it`,
    protocol: PROTOCOL,
    pond_key_file: JSON.parse(keyFile),
    swarm_keys: pool.keys,
    routes: schemasOfNow(),
    byHand,
    swarm: story,
  }
  mkdirSync(join(root, 'test', 'vector', 'wire'), { recursive: true })
  writeFileSync(join(root, vectorPath(PROTOCOL)), `${JSON.stringify(vector, undefined, 1)}\n`)
})
