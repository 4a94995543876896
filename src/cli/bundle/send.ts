// pond run --bundle: a folder is packed and sealed on this machine, and brought to pond once. Whoever stops it goes on from there with the same command.
import { stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { BundleError, type BundleReason } from '../../bundle/error.ts'
import { type Packing, packFolder } from '../../bundle/pack.ts'
import type { BundleView } from '../../protocol/asset.ts'
import { limit } from '../../protocol/limit.ts'
import { readCustodyDetached, sealAnew, sealDetached } from '../../seal/envelope.ts'
import { loadSodium } from '../../seal/sodium.ts'
import { type ExitName, exitCode } from '../exit-code.ts'
import { callFailure, Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import type { Patience } from '../patience.ts'
import { need, type Session } from '../session.ts'
import { formatSize } from '../size.ts'
import { custodyOf, placeOf, type SealTarget } from '../trust/custody.ts'
import { createOutage } from '../watch.ts'
import { type BundleMemory, draftName, openMemory, type SealedBundle, sweepMemories } from './memory.ts'
import { createProgress, type Progress } from './progress.ts'
import { uploadFrames } from './upload.ts'

/** The digest of a bundle that pond has whole, with its boxes. */
export async function sendBundle(session: Session, folder: string, target: SealTarget): Promise<string> {
  const { io, out } = session
  const stop = listenForStop(io)
  const patience = { signal: stop.signal, outage: createOutage(out.note) }
  const parts = { session, patience, progress: createProgress({ io, out }), target }
  try {
    return await send(parts, folder)
  } catch (error) {
    throw stop.failure() ?? packFailure(error, folder)
  } finally {
    stop.close()
    await out.status(undefined)
  }
}

interface Parts {
  readonly session: Session
  readonly patience: Patience
  readonly progress: Progress
  readonly target: SealTarget
}

async function send(parts: Parts, folder: string): Promise<string> {
  const { session, patience, progress, target } = parts
  const { home, url } = session.connection
  await sweepMemories(home, session.io.clock.now())
  const { signal } = patience
  const packing = await packFolder({ folder, signal, progress: ({ packedBytes }) => progress.at(packedBytes) })
  if (packing.files === 0) {
    throw new Failure({
      what: `there is nothing to send in ${folder}`,
      why: 'it holds no files, or its .pondignore leaves out all of them',
      exit: 'usage',
    })
  }
  progress.begin('reading the folder:', packing.packedBytes)
  const memory = openMemory(home, { url, packed: await packing.packedDigest(), target })
  const known = await usable(parts, memory)
  if (known?.stored?.complete && known.stored.custody && known.same) {
    await memory.remember(known.sealed)
    return known.sealed.digest
  }
  const sealed = known?.sealed ?? (await seal(parts, memory, packing))
  await deliver(parts, memory, { sealed, stored: known?.stored })
  await session.out.note(
    `bundle ${sealed.digest.slice(0, 12)}: ${packing.files} files, ${formatSize(sealed.size)} at pond`,
  )
  return sealed.digest
}

interface Known {
  readonly sealed: SealedBundle
  /** As pond shows it; undefined when it has nothing of it. */
  readonly stored: BundleView | undefined
  /** Its boxes are for those who are wanted now. */
  readonly same?: boolean
}

/** What was sealed before, if pond has it or the frames are still here. */
async function usable({ session, patience, target }: Parts, memory: BundleMemory): Promise<Known | undefined> {
  const recalled = await memory.recall()
  if (!recalled) return undefined
  const sealed = await boxedFor(target, recalled)
  const same = sealed === recalled
  const { digest, size, draft } = sealed
  const call = { params: { digest }, signal: patience.signal }
  const answer = await session.client.persist('getBundle', call, patience.outage.failed)
  patience.signal.throwIfAborted()
  if (!answer.ok && answer.error.code !== 'not_found') throw callFailure('look for the bundle', answer.error)
  const stored = answer.ok ? answer.reply : undefined
  if (stored?.complete) return { sealed, stored, same }
  const there = draft === undefined ? undefined : await stat(memory.draftPath(draft)).catch(() => undefined)
  if (there?.size === size) return { sealed, stored, same }
  await memory.forget()
  return undefined
}

/** With boxes for whom it is sealed to now: pond's key may be another since, or other workers be named. */
async function boxedFor(target: SealTarget, known: SealedBundle): Promise<SealedBundle> {
  const recipients = [...target.recipients].sort()
  if (isDeepStrictEqual(recipients, known.recipients)) return known
  const { sealed } = readCustodyDetached(known.custody)
  const anew = sealAnew({ sodium: await loadSodium(), recipients }, sealed, known.key)
  return { ...known, recipients, custody: custodyOf(anew, target) }
}

/** The digest of the frames is known when all are sealed, so they go to a file first. That is also what makes an upload resumable. */
async function seal(parts: Parts, memory: BundleMemory, packing: Packing): Promise<SealedBundle> {
  const { session, patience, progress, target } = parts
  const sodium = await loadSodium()
  const context = { kind: 'bundle', ...placeOf(target) } as const
  const wish = { sodium, random: session.io.random, context, recipients: target.recipients }
  const draft = draftName(session.io.random.bytes(16).toString('hex'))
  progress.begin('sealing the bundle:', packing.packedBytes)
  const { frames, key, finish } = sealDetached(wish, packing)
  const file = await memory.makeDraft(draft)
  try {
    for await (const frame of frames) {
      patience.signal.throwIfAborted()
      await file.appendFile(frame)
    }
    await file.sync()
  } catch (error) {
    await memory.removeDraft(draft)
    throw error
  } finally {
    await file.close()
  }
  const detached = finish()
  const { digest, size } = detached
  if (size > limit.bundleBytes) {
    await memory.removeDraft(draft)
    throw new Failure({
      what: `the bundle is too large`,
      why: `${formatSize(size)} of at most ${formatSize(limit.bundleBytes)}`,
    })
  }
  const recipients = [...target.recipients].sort()
  const sealed = { format: 1 as const, digest, size, custody: custodyOf(detached, target), recipients, key, draft }
  await memory.remember(sealed)
  return sealed
}

async function deliver(
  { session, patience, progress }: Parts,
  memory: BundleMemory,
  { sealed, stored }: Known,
): Promise<void> {
  const { digest, size, draft, custody } = sealed
  if (!stored?.complete && draft !== undefined) {
    const file = memory.draftPath(draft)
    try {
      await uploadFrames({ session, patience, progress }, { digest, size, file, committed: stored?.committed ?? 0 })
    } catch (error) {
      // The draft is not what it was; the next try seals anew.
      if (error instanceof Failure && error.facts.code === 'digest_mismatch') await memory.forget()
      throw error
    }
  }
  const call = { params: { digest }, body: custody, signal: patience.signal }
  const answer = await session.client.persist('sealBundle', call, patience.outage.failed)
  patience.signal.throwIfAborted()
  need('hand in the boxes of the bundle', answer)
  const { draft: _, ...done } = sealed
  await memory.remember(done)
  if (draft !== undefined) await memory.removeDraft(draft)
}

/** A signal stops between two pieces; what pond has and the draft stay. */
function listenForStop(io: Io) {
  const controller = new AbortController()
  let exit: ExitName | undefined
  const on = (name: ExitName) => () => {
    exit ??= name
    controller.abort(new Error('stopped'))
  }
  const off = [io.onSignal('SIGINT', on('interrupted')), io.onSignal('SIGTERM', on('terminated'))]
  return {
    signal: controller.signal,
    failure: () =>
      exit &&
      new Failure(
        {
          what: 'stopped before the bundle was with pond; no job was submitted',
          next: 'Type the same command again: what is sealed and sent already stays.',
        },
        exitCode(exit),
      ),
    close: () => {
      for (const stop of off) stop()
    },
  }
}

const advice: Partial<Record<BundleReason, string>> = {
  changed: 'Let it rest while it is packed, or leave it out by a line in .pondignore.',
  special_file: 'Leave it out by a line in .pondignore.',
  link_escapes: 'Leave it out by a line in .pondignore, or put a copy in its place.',
  bad_ignore: 'Mend .pondignore.',
}

function packFailure(error: unknown, folder: string): unknown {
  const what = `could not pack ${folder}`
  if (error instanceof BundleError) {
    const next =
      advice[error.reason] ?? 'Leave out what the job does not need: .pondignore takes the lines of .gitignore.'
    return new Failure({ what, why: error.message, next, exit: 'usage', cause: error }, undefined, {
      reason: error.reason,
    })
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new Failure({
      what,
      why: 'it is no folder',
      next: 'Give a folder: --bundle DIR.',
      exit: 'usage',
      cause: error,
    })
  }
  return error
}
