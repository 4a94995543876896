// Stops: an operator's word that nothing new goes to a worker or a binding (a cordon) or comes out of a project (a pause). What runs goes on.
import { z } from 'zod'
import { limit } from './limit.ts'

export const stopBody = z.strictObject({
  /** It ends by itself after this; without it somebody has to end it. */
  for_ms: z.int().min(1000).max(limit.stopMostMs).optional(),
  /** For whoever wonders why nothing comes. */
  note: z.string().min(1).max(limit.labelValueChars).optional(),
})
export type StopBody = z.infer<typeof stopBody>

export const stopView = z.object({
  /** When it was last said. */
  at: z.int(),
  by: z.string(),
  note: z.string().optional(),
  /** It ends by itself then. */
  until: z.int().optional(),
})
export type StopView = z.infer<typeof stopView>

/** What keeps jobs from a worker; where it has a cordon of its own and one of its binding, the one that ends last. */
export const cordonView = stopView.extend({ of: z.enum(['worker', 'binding']) })
export type CordonView = z.infer<typeof cordonView>
