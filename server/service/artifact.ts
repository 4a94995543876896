// Artifacts: the files that a job's globs brought, as its final word named them. Each is a stream; a path is data and never a name on pond's disk.
import type { ArtifactView } from '../../src/protocol/asset.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { StreamName } from '../../src/protocol/field.ts'
import type { ArtifactReport } from '../../src/protocol/word.ts'
import { isLive } from '../../src/state/lease.ts'
import { judgeArtifact } from '../../src/state/stream.ts'
import type { ClaimRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { type AttemptAsk, findAttempt } from './stream.ts'

/** Paths that a refusal names, so that it stays a short one. */
const NAMED_MOST = 50

/** What the attempt brought and what it missed. Nothing is known before its final word. */
export async function listArtifacts(core: Core, ask: AttemptAsk): Promise<{ claim_id: string; items: ArtifactView[] }> {
  const claim = await findEnded(core, ask)
  const items: ArtifactView[] = []
  for (const report of claim.artifacts ?? []) items.push(await viewArtifact(core, claim, report))
  return { claim_id: claim.id, items }
}

async function findEnded(core: Core, ask: AttemptAsk): Promise<ClaimRow> {
  const claim = await findAttempt(core, ask)
  if (!isLive(claim.lease.state)) return claim
  throw new Refusal('not_final', `the attempt is ${claim.lease.state}`, { state: claim.lease.state })
}

async function viewArtifact(core: Core, claim: ClaimRow, report: ArtifactReport): Promise<ArtifactView> {
  const { stream, path, problem } = report
  if (stream === undefined) return { path, problem: problem ?? 'missing' }
  const told = claim.streams?.[stream]
  const { committed } = await core.blobs.stat({ claimId: claim.id, name: stream })
  const seen = { path, stream, bytes: committed, end: told?.end }
  const fault = problem ?? judgeArtifact(told, committed)
  if (fault) return { ...seen, problem: fault }
  const sha256 = told?.sha256 ?? (await core.blobs.sha256({ claimId: claim.id, name: stream }))
  return { ...seen, sha256, end: 'complete' }
}

/** The stream of a file that is there whole. */
export async function findArtifact(
  core: Core,
  ask: AttemptAsk,
  path: string,
): Promise<{ readonly name: StreamName; readonly attempt: number }> {
  const claim = await findEnded(core, ask)
  const report = claim.artifacts?.find((it) => it.path === path && it.stream !== undefined)
  const view = report && (await viewArtifact(core, claim, report))
  if (report?.stream !== undefined && view && view.problem === undefined) {
    return { name: report.stream, attempt: claim.attempt }
  }
  if (view) {
    const { problem, bytes, stream } = view
    throw new Refusal('not_found', `${path} is not here whole: ${problem}`, {
      reason: 'not_whole',
      problem,
      bytes,
      stream,
    })
  }
  const paths = (claim.artifacts ?? []).flatMap((it) =>
    it.path !== undefined && it.stream !== undefined ? it.path : [],
  )
  const artifacts = paths.slice(0, NAMED_MOST)
  throw new Refusal('not_found', `the attempt brought no file ${path}`, {
    ...{ reason: 'no_artifact', artifacts, more: paths.length - artifacts.length },
  })
}
