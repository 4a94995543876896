// `npm run bench [-- --only NAME] [--runs N] [--peers] [--profile DIR]`: one JSON line a figure on stdout, progress on stderr.
import { parseArgs } from 'node:util'
import { budget } from './budget.ts'
import { bundle } from './bundle.ts'
import { profileInto } from './child.ts'
import { claimDepth } from './claim-depth.ts'
import { fairness } from './fairness.ts'
import { note } from './figure.ts'
import { floors } from './floor.ts'
import { parkedPoll } from './parked-poll.ts'
import { attestedThroughput, proofCost } from './proof-cost.ts'
import { redaction } from './redaction.ts'
import { sealedStream } from './sealed-stream.ts'
import { snapshots } from './snapshot.ts'
import { startLatency } from './start-latency.ts'
import { streamThroughput } from './stream-throughput.ts'
import { noopSingly, noopThroughput, processThroughput } from './throughput.ts'

export interface BenchOptions {
  readonly runs: number
  /** Also measure what is installed into bench/peers. */
  readonly peers: boolean
}

const benches: Readonly<Record<string, (options: BenchOptions) => Promise<void>>> = {
  floors,
  budget,
  'start-latency': startLatency,
  'noop-throughput': noopThroughput,
  'noop-singly': noopSingly,
  'process-throughput': processThroughput,
  'stream-throughput': streamThroughput,
  'sealed-stream': sealedStream,
  bundle,
  'proof-cost': proofCost,
  'attested-throughput': attestedThroughput,
  'parked-poll': parkedPoll,
  'snapshots-1000': snapshots,
  'claim-depth': claimDepth,
  redaction,
  fairness,
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    runs: { type: 'string', default: '5' },
    peers: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
})
const names = values.only ?? Object.keys(benches)
const unknown = names.find((name) => !benches[name])
if (unknown !== undefined) {
  note(`there is no bench ${unknown}; there are ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
if (values.profile !== undefined) profileInto(values.profile)
for (const name of names) {
  note(`${name}:`)
  await benches[name]?.({ runs: Number(values.runs), peers: values.peers })
}
