// After a restart: kills what a former life of swarm left running, then says what it owes for each claim of its journal.
import { join } from 'node:path'
import type { BatchWord } from '../protocol/word.ts'
import type { ClaimParts, Have, HeldClaim } from './claim.ts'
import type { Ending, Left } from './journal-entry.ts'
import { type LastWordEnd, say, sayLastWord } from './last-word.ts'
import { resumeOutput } from './left-output.ts'
import { createPrivacy } from './privacy.ts'

/** A job never outlives its swarm. Resolves when nothing of a former life runs any more. */
export async function sweep(parts: ClaimParts): Promise<void> {
  const { executor, journal, log, disk, jobsPath } = parts
  const running = journal.left.filter(({ ended, final }) => !ended && !final)
  const killed = await executor.sweep(
    running.map(({ claim: { claim_id: claimId, job_id: jobId, attempt }, started }) => {
      const unknown = { claimId, jobId, attempt, pid: 0, startTime: '', cgroups: [] }
      return started?.trace ?? unknown
    }),
  )
  if (journal.left.length + killed > 0) log.warn('swept', { claims: journal.left.length, processes_killed: killed })
  const owed = new Set<string>(journal.left.map((left) => left.claim.claim_id))
  for (const name of await disk.list(jobsPath)) if (!owed.has(name)) await disk.remove(join(jobsPath, name))
}

export interface Recovered extends HeldClaim {
  /** Resolves when nothing is owed any more, or swarm ends. */
  run(): Promise<LastWordEnd>
}

export function createRecovered(parts: ClaimParts, left: Left): Recovered {
  const { clock, disk, journal, log, words } = parts
  const { claim_id, job_id, claim_token } = left.claim
  const folder = join(parts.jobsPath, claim_id)
  const abort = new AbortController()
  let dropped = false

  async function run(): Promise<LastWordEnd> {
    const end = await settle()
    if (end === 'unsaid' && !dropped) return end
    void journal.write({ step: 'gone', claim_id })
    await disk.remove(folder).catch((error) => log.warn('folder_left', { folder, error: String(error) }))
    return end
  }

  async function settle(): Promise<LastWordEnd> {
    if (!left.started && !left.ended && !left.final) {
      const said = await words.say(unstarted())
      if (said.outcome === 'unsaid') return 'unsaid'
      // Pond knows better when it had accepted the job's start: then nobody can tell whether it ran.
      if (said.outcome !== 'refused') return 'refused'
    }
    const { privacy, output } = await openOutput(parts, left, abort.signal)
    try {
      const owed = { words, journal, log, claim: left.claim, output }
      if (left.final) return await say(owed, left.final)
      return await sayLastWord(owed, left.ended?.ending ?? (await privacy.ending(lostEnding())))
    } finally {
      await output.close()
    }
  }

  // The cause tells that this worker is not unwilling: it may get the job again at once.
  const unstarted = (): BatchWord => ({
    ...{ job_id, claim_id, claim_token },
    state: 'declined',
    cause: 'worker_lost',
    message: RESTARTED,
  })

  const lostEnding = (): Ending => ({
    cause: 'worker_lost',
    ...(left.started && { started_at: left.started.at }),
    ended_at: clock.now(),
    message: RESTARTED,
  })

  return {
    claimId: claim_id,
    jobId: job_id,
    run,
    have: (): Have => ({
      claim_id,
      state: left.started || left.ended || left.final ? 'ended' : 'accepted',
      ...(left.started && { started_at: left.started.at }),
    }),
    // Nothing of it runs, so there is nothing to end.
    stop() {},
    kill() {},
    drop() {
      dropped = true
      abort.abort()
    },
    abandon: () => abort.abort(),
  }
}

async function openOutput(parts: ClaimParts, { claim, boot, ended }: Left, signal: AbortSignal) {
  const { disk, jobsPath, random, signerOf } = parts
  // What may still be said was redacted before it was written down; only its ends are sealed now.
  const privacy = await createPrivacy({ random, signer: signerOf(claim.worker_id), claim, secrets: [] })
  const folder = join(jobsPath, claim.claim_id)
  const ready = () => disk.makeFolder(folder)
  // Only a machine that was started anew can lack what was written before; where that is not known it may.
  const isSafe = boot !== undefined && boot !== '' && boot === (await disk.bootId())
  const output = await resumeOutput(
    { ...parts, claim, privacy, folder, ready, signal, failed() {} },
    { spooled: ended?.spooled, isSafe },
  )
  return { privacy, output }
}

const RESTARTED = 'swarm was restarted'
