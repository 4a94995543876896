// Random jobs: every policy, every kind of end, and sizes around the caps.
import type { Cause, JobSpec } from '../../src/protocol/job.ts'
import type { Random } from '../../src/system/random.ts'
import { commandOf, type Program } from './program.ts'
import { recipientText } from './sealed.ts'
import { CREDENTIAL } from './secret.ts'

type Dice = (chance: number) => boolean

const retried = ['exit', 'signal', 'setup_failed', 'timeout', 'drained', 'disk_full', 'output_lost'] as const

export interface JobWish {
  readonly name: string
  /** Digests to choose from, and the chance that a job has one. */
  readonly bundles: readonly string[]
  readonly bundled: number
  /** Chance that it leaves files. */
  readonly leaving: number
}

export function makeJob(random: Random, { name, bundles, bundled, leaving }: JobWish): JobSpec {
  const dice: Dice = (chance) => random.number() < chance
  const upTo = (most: number) => Math.floor(random.number() * (most + 1))
  const idempotent = dice(0.5)
  const hasSecret = dice(0.25)
  const leaves = dice(leaving)
  const leaks = hasSecret && dice(0.5)
  const [command, program] = commandOf({
    ...makeProgram(random, name),
    ...(leaks && { leaks: true }),
    ...(leaves && { files: Array.from({ length: upTo(3) }, () => upTo(dice(0.1) ? 600_000 : 5000)) }),
  })
  return {
    command: [command, program],
    labels: { name },
    ...(dice(0.8) ? { idempotent } : idempotent ? { idempotent } : {}),
    ...makePolicy(random, idempotent),
    ...(hasSecret && { credential: CREDENTIAL }),
    ...(dice(hasSecret ? 0.6 : 0.1) && { recipients: [recipientText] }),
    ...(dice(bundled) && { bundle: bundles[upTo(bundles.length - 1)] }),
    ...(leaves && { artifacts: ['out/*', ...(dice(0.2) ? ['nothing-*'] : [])] }),
    ...(dice(0.3) && { priority: upTo(9) }),
    ...(dice(0.12) && { ttl_ms: 1 + upTo(60_000) }),
    ...(dice(0.15) && { timeout_ms: 200 + upTo(10_000) }),
    ...(dice(0.25) && { limits: { stream_bytes: 1 + upTo(6000) } }),
  }
}

function makePolicy(random: Random, idempotent: boolean): Partial<JobSpec> {
  const dice: Dice = (chance) => random.number() < chance
  const upTo = (most: number) => Math.floor(random.number() * (most + 1))
  const on: Cause[] = retried.filter(() => dice(0.4))
  if (idempotent && dice(0.5)) on.push('worker_lost')
  const onLost = upTo(idempotent ? 3 : 2)
  return {
    ...(dice(0.5) && {
      retry: {
        ...(dice(0.7) && { on }),
        ...(dice(0.6) && { attempts: 1 + upTo(3) }),
        ...(dice(0.6) && { backoff_ms: upTo(5000) }),
      },
    }),
    ...(onLost === 1 && { on_lost: 'hold' as const, hold_ms: 1 + upTo(60_000) }),
    ...(onLost === 2 && { on_lost: 'fail' as const }),
    ...(onLost === 3 && { on_lost: 'rerun' as const }),
  }
}

function makeProgram(random: Random, name: string): Program {
  const dice: Dice = (chance) => random.number() < chance
  const upTo = (most: number) => Math.floor(random.number() * (most + 1))
  const long = dice(0.15) ? 30_000 : 1500
  const size = () => (dice(0.02) ? 200_000 + upTo(1_800_000) : dice(0.3) ? upTo(9000) : upTo(300))
  const writes = Array.from({ length: dice(0.8) ? upTo(6) : 0 }, () => ({
    afterMs: upTo(long / 3),
    to: dice(0.7) ? ('stdout' as const) : ('stderr' as const),
    bytes: 1 + size(),
  }))
  return {
    name,
    writes,
    events: dice(0.2) ? upTo(3) : 0,
    endsAfterMs: upTo(long),
    rc: dice(0.75) ? 0 : 1 + upTo(3),
    ...(dice(0.3) && { result: JSON.stringify({ name, value: upTo(1000) }) }),
    ...(dice(0.05) && { broken: true as const }),
    ...(dice(0.1) && { stubborn: true as const }),
  }
}
