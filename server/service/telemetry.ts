// Telemetry and progress: events of a claim, kept once each by their id, and passed on live.

import { Refusal } from '../../src/protocol/error.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { TelemetryBody } from '../../src/protocol/word.ts'
import type { TelemetryRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { type ClaimCaller, holdClaim } from './stream.ts'

export async function hearTelemetry(
  core: Core,
  caller: ClaimCaller,
  body: TelemetryBody,
): Promise<{ stored: number; repeated: number; dropped: number }> {
  for (const [index, event] of body.events.entries()) {
    const size = Buffer.byteLength(JSON.stringify(event))
    if (size > limit.eventBytes) {
      const field = `events.${index}`
      throw new Refusal('invalid_field', `${field} must not be longer than ${limit.eventBytes} bytes`, { field })
    }
  }
  const holder = await holdClaim(core, caller)
  return await core.store.write(async (tx) => {
    const room = limit.eventsPerClaim - (await tx.countTelemetry(holder.id))
    const taken = body.events.slice(0, Math.max(0, room))
    let stored = 0
    for (const event of taken) {
      const row: TelemetryRow = {
        jobId: holder.jobId,
        claimId: holder.id,
        id: event.id,
        type: event.type,
        at: event.at,
        ...(event.data ? { data: event.data } : {}),
      }
      if (!(await tx.insertTelemetry(row))) continue
      stored++
      tx.afterCommit(() => core.hub.telemetry.tell(holder.jobId, row))
    }
    return { stored, repeated: taken.length - stored, dropped: body.events.length - taken.length }
  })
}
