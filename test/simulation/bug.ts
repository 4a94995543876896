// Deliberate bugs, each planted between a part and its world: the proof that the checker sees. None of them is in the product.
import { undemanding } from './gear.ts'
import type { InvariantId } from './invariant.ts'
import {
  anyEnd,
  boastfulSwarm,
  emptyMachines,
  firstDevices,
  lostDependents,
  silentSwarm,
  undemandingStore,
  weightlessClaims,
} from './placement-bug.ts'
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
import { clearSky, sound, type Weather } from './weather.ts'

export interface Bug {
  /** What it breaks. */
  readonly breaks: InvariantId
  /** A world in which it shows; 1 unless told. */
  readonly seed?: number
  /** What must happen for it to show in the world of nearly every seed, so that it shows however the product's dice fall. */
  readonly storm: Partial<Weather>
  readonly plant: () => Plant
}

/** Busy machines to which nothing happens; each bug adds what brings it out. */
const busy: Partial<Weather> = {
  ...clearSky,
  ...sound,
  ...undemanding,
  ...{ calm: false, swarms: 2, slots: 4, jobs: 40, stormMs: 60_000, awayMs: 1000, diskFault: 0 },
  ...{
    partitions: 0,
    pondCrashes: 0,
    swarmCrashes: 0,
    powerCuts: 0.4,
    drains: 0,
    orders: 0,
    naps: 0,
    laptops: 0,
    pauses: 0,
    stalls: 0,
    attacks: 0,
    fullDisks: 0,
    bundles: 0,
    artifacts: 0,
  },
  settings: { leaseMs: 20_000, pollHoldMs: 10_000, pollHoldBusyMs: 5000 },
}
/** Shorter than most jobs. */
const shortLeases = { leaseMs: 5000, pollHoldMs: 4000, pollHoldBusyMs: 2000 }
/** Jobs require much, and some wait for others. */
const picky = { ...busy, needs: 0.9, after: 0.3, slots: 8, jobs: 60, stormMs: 20_000 }
const crashingPond = { ...busy, pondCrashes: 10 }
const crashingSwarms = { ...busy, swarmCrashes: 40 }
/** Machines die and stay away for longer than a lease. */
const dyingSwarms = { ...busy, swarms: 3, swarmCrashes: 20, awayMs: 300_000 }

export const bugs: Readonly<Record<string, Bug>> = {
  'a store that forgets that a claim was lost': { breaks: 'I1', seed: 2, storm: dyingSwarms, plant: undyingClaims },
  'a store that grants attempts nobody asked for': { breaks: 'I2', storm: busy, plant: generousStore },
  'a chunk stored in the place of another': { breaks: 'I3', storm: busy, plant: twiceBlobs },
  'a spool that drops bytes': { breaks: 'I3', storm: busy, plant: shortDisk },
  'a store that reads a job as it was before its end': {
    breaks: 'I4',
    storm: { ...busy, jobs: 60, dropReply: 0.3, duplicate: 0.3 },
    plant: staleReads,
  },
  'a store that loses why a job ended': { breaks: 'I5', storm: busy, plant: causelessEnds },
  'a pond that does not sweep': { breaks: 'I6', storm: dyingSwarms, plant: noSweep },
  'a pond that gives out one token for all claims': { breaks: 'I7', storm: busy, plant: oneToken },
  'a store that acknowledges before it is durable': { breaks: 'I8', storm: crashingPond, plant: earlyStore },
  'streams that acknowledge before they are durable': {
    breaks: 'I8',
    storm: crashingPond,
    plant: unsyncedBlobs,
  },
  'a pond that calls every machine online': {
    breaks: 'I9',
    storm: { ...busy, partitions: 12, looks: 90, stormMs: 180_000 },
    plant: blindOptimist,
  },
  'a swarm that tells the environment of a job': { breaks: 'I10', storm: busy, plant: talkativeSwarm },
  'a pond that forgets its live claims over a restart': {
    breaks: 'I11',
    seed: 2,
    storm: { ...crashingPond, swarmCrashes: 20, dropReply: 0.4 },
    plant: forgetfulStore,
  },
  'a swarm that starts what pond has not accepted': {
    breaks: 'I12',
    storm: { ...busy, slow: 1, slowMs: 1000 },
    plant: boldClient,
  },
  'a swarm that does not sweep': { breaks: 'I12', storm: crashingSwarms, plant: lazySweep },
  'a job started twice under one claim': { breaks: 'I12', storm: busy, plant: doubleStart },
  'a store that loses what a claim holds': { breaks: 'I13', storm: picky, plant: weightlessClaims },
  'a pond that gives out the same devices again': {
    breaks: 'I13',
    storm: picky,
    plant: firstDevices,
  },
  'a swarm that does not tell what it runs': {
    breaks: 'I13',
    storm: { ...picky, stormMs: 60_000, settings: shortLeases },
    plant: silentSwarm,
  },
  'a swarm that tells of twice its machine': { breaks: 'I13', storm: picky, plant: boastfulSwarm },
  'a store that loses what a job requires': { breaks: 'I14', storm: picky, plant: undemandingStore },
  'a store that takes any end for a success': { breaks: 'I15', storm: picky, plant: anyEnd },
  'a store that does not find who waits': { breaks: 'I15', storm: picky, plant: lostDependents },
  'a store that loses what a machine has': { breaks: 'I16', storm: { ...picky, jobs: 8 }, plant: emptyMachines },
}
