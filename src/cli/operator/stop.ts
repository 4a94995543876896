// What cordon and pause share on the command line: what is sent, and how a stop is told.
import type { StopBody, StopView } from '../../protocol/stop.ts'
import { formatTime } from '../duration.ts'

export interface StopFlags {
  readonly for?: number
  readonly note?: string
}

export const stopBodyOf = ({ for: for_ms, note }: StopFlags): StopBody => ({
  ...(for_ms === undefined ? {} : { for_ms }),
  ...(note === undefined ? {} : { note }),
})

/** ` until TIME, by WHO: note`, to stand behind what is stopped. */
export function describeStop({ until, by, note }: StopView): string {
  return `${until === undefined ? '' : ` until ${formatTime(until)}`}, by ${by}${note === undefined ? '' : `: ${note}`}`
}

/** For the last column of a list. */
export const noteOfStop = (stop: StopView | undefined) => (stop ? describeStop(stop).replace(/^,? /, '') : '')
