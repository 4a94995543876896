// What the jobs of one worker hold of its machine, counted here too. Pond counts it before it gives anything, but the reply that brings a claim may come so late
// that pond has taken it back and given its room to another: the later one of the two waits here until the other is gone.
import type { Resources } from '../protocol/field.ts'
import type { JobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import { fits, type Held, nothing, wholeOf, without } from '../state/room.ts'

/** Resolves when there is room for it, and then it holds that until the answer is called; or when `signal` aborts, and then it holds nothing. */
export type TakeRoom = (held: Held, signal: AbortSignal) => Promise<() => void>

/** Of most jobs `nothing`, for which nobody asks. */
export function heldBy({ requires = {} }: JobSpec, { gpus }: Pick<Intent, 'gpus'>): Held {
  const { cpus, memory_bytes } = requires
  if (cpus === undefined && memory_bytes === undefined && gpus === undefined) return nothing
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory_bytes === undefined ? {} : { memory_bytes }),
    ...(gpus ? { gpus } : {}),
  }
}

export function createAllotment(resources: Resources): TakeRoom {
  const whole = wholeOf(resources, 0)
  const held = new Set<Held>()
  const waiting = new Set<() => void>()
  const isFree = (wanted: Held) => fits(wanted, without(whole, [...held]))

  function hold(wanted: Held): () => void {
    // Its own, for two jobs may hold alike.
    const own = { ...wanted }
    held.add(own)
    return () => {
      if (held.delete(own)) for (const look of waiting) look()
    }
  }

  return (wanted, signal) =>
    new Promise((resolve) => {
      const end = (giveBack: () => void) => {
        waiting.delete(look)
        signal.removeEventListener('abort', leave)
        resolve(giveBack)
      }
      const leave = () => end(() => {})
      const look = () => {
        // One alone runs, whatever it needs: pond knows best what the machine has.
        if (held.size === 0 || isFree(wanted)) end(hold(wanted))
      }
      waiting.add(look)
      signal.addEventListener('abort', leave, { once: true })
      if (signal.aborted) leave()
      else look()
    })
}
