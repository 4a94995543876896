// Deliberate bugs, each planted between a part and its world: the proof that the checker sees. None of them is in the product.
import type { Law } from './invariant.ts'
import {
  blindOptimist,
  causelessEnds,
  earlyStore,
  forgetfulStore,
  generousStore,
  noSweep,
  oneToken,
  staleReads,
  twiceBlobs,
  undyingClaims,
  unsyncedBlobs,
} from './pond-bug.ts'
import type { Plant } from './simulation.ts'
import { boldClient, doubleStart, lazySweep, shortDisk, talkativeSwarm } from './swarm-bug.ts'
import type { Weather } from './weather.ts'

export interface Bug {
  /** The law that it breaks. */
  readonly law: Law
  /** A world in which it shows. */
  readonly seed: number
  /** What must happen for it to show, so that the seed stays good when the product's dice fall otherwise. */
  readonly storm?: Partial<Weather>
  readonly plant: () => Plant
}

const crashingPond = { calm: false, pondCrashes: 4 }
/** One busy machine whose swarm dies often and is back before its processes end, and nothing else keeps jobs from it. */
const restartingSwarm = {
  ...{ calm: false, swarms: 1, slots: 4, jobs: 24, swarmCrashes: 40, awayMs: 1000 },
  ...{ pondCrashes: 0, partitions: 0, drains: 0, pauses: 0, stalls: 0 },
  ...{ dropRequest: 0, dropReply: 0, foreign: 0, diskFault: 0 },
}

const manyJobs = { jobs: 40 }
/** Machines die and stay away for longer than a lease. */
const dyingSwarms = {
  calm: false,
  swarms: 3,
  swarmCrashes: 8,
  jobs: 24,
  awayMs: 300_000,
  settings: { leaseMs: 20_000 },
}

export const bugs: Readonly<Record<string, Bug>> = {
  'a store that forgets that a claim was lost': {
    law: 'one_live_claim',
    seed: 1,
    storm: dyingSwarms,
    plant: undyingClaims,
  },
  'a store that grants one attempt too many': {
    law: 'attempts_rise_by_policy',
    seed: 4,
    storm: manyJobs,
    plant: generousStore,
  },
  'a store that reads a job as it was before its end': {
    law: 'terminal_absorbs',
    seed: 1,
    storm: manyJobs,
    plant: staleReads,
  },
  'a store that loses why a job ended': { law: 'every_end_has_a_cause', seed: 3, plant: causelessEnds },
  'a pond that does not sweep': { law: 'a_silent_claim_ends', seed: 3, storm: dyingSwarms, plant: noSweep },
  'a pond that gives out one token for all claims': { law: 'a_token_is_of_one_claim', seed: 3, plant: oneToken },
  'a pond that calls every machine online': {
    law: 'online_means_a_poll_completed',
    seed: 1,
    storm: { ...dyingSwarms, looks: 30, slowMs: 3000 },
    plant: blindOptimist,
  },
  'a swarm that tells the environment of a job': {
    law: 'no_secret_on_the_wire',
    seed: 3,
    plant: talkativeSwarm,
  },
  'a store that acknowledges before it is durable': {
    law: 'acknowledged_job_stays',
    seed: 3,
    storm: crashingPond,
    plant: earlyStore,
  },
  'streams that acknowledge before they are durable': {
    law: 'acknowledged_bytes_stay',
    seed: 3,
    storm: crashingPond,
    plant: unsyncedBlobs,
  },
  'a chunk stored in the place of another': { law: 'a_stream_is_a_prefix', seed: 3, plant: twiceBlobs },
  'a pond that forgets its live claims over a restart': {
    law: 'all_ends_after_the_storm',
    seed: 2,
    storm: crashingPond,
    plant: forgetfulStore,
  },
  'a swarm that starts what pond has not accepted': { law: 'not_before_pond_accepted', seed: 3, plant: boldClient },
  'a swarm that does not sweep': {
    law: 'nothing_of_a_former_life_runs',
    seed: 3,
    storm: restartingSwarm,
    plant: lazySweep,
  },
  'a job started twice under one claim': { law: 'a_claim_starts_once', seed: 3, plant: doubleStart },
  'a spool that drops bytes': { law: 'capped_is_the_prefix', seed: 3, plant: shortDisk },
}
