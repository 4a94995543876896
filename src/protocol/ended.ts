// What a person does with jobs that ended: take a late result, run them once more, or be done with them.
import { z } from 'zod'
import { jobPage, jobView } from './consumer.ts'
import { queryInt } from './field.ts'
import { jobId } from './id.ts'
import { causes } from './job.ts'
import { limit } from './limit.ts'
import { defineRoutes, empty } from './shape.ts'

/** Which of the attempts whose results came late. */
const adoptBody = z.strictObject({ attempt: z.int().min(1).max(limit.attemptsMost) })

const deadQuery = z.strictObject({
  cause: z.enum(causes).optional(),
  /** `key=value`. */
  label: z.string().max(400).optional(),
  /** Only elements of this array. */
  array: jobId.optional(),
  cursor: z.string().max(64).optional(),
  limit: queryInt(1, limit.listMost).optional(),
})

/** Which dead letters: those that match all that is named. */
const replayBody = z
  .strictObject({
    cause: z.enum(causes).optional(),
    /** `key=value`. */
    label: z.string().max(400).optional(),
    /** Elements of this array. */
    array: jobId.optional(),
    /** At most so many of them. */
    most: z.int().min(1).max(limit.replaysMost).optional(),
  })
  .refine(({ cause, label, array }) => cause !== undefined || label !== undefined || array !== undefined, {
    message: 'needs a cause, a label or an array',
  })

export const replayReply = z.object({
  replayed: z.array(z.object({ from: z.string(), to: z.string() })),
  /** Those that could not be taken as they are, and why: a credential or a bundle is gone. */
  refused: z.array(z.object({ id: z.string(), message: z.string() })),
  /** There may be more that match. */
  left: z.boolean(),
})
export type ReplayReply = z.infer<typeof replayReply>

const job = { id: jobId }

export const endedRoutes = defineRoutes({
  adoptAttempt: {
    method: 'POST',
    path: '/v1/jobs/{id}/adopt',
    caller: 'submit',
    says: "Take a result that came too late for the job's own: its output is what is read from then on, and the end of the job stands.",
    params: job,
    body: adoptBody,
    reply: jobView,
  },
  listDead: {
    method: 'GET',
    path: '/v1/dead-letters',
    caller: 'read',
    says: 'Jobs and elements of arrays that failed or expired and that nobody replayed or dismissed, latest end first. A page may be short and still have a next.',
    query: deadQuery,
    reply: jobPage,
  },
  dismissJob: {
    method: 'DELETE',
    path: '/v1/dead-letters/{id}',
    caller: 'submit',
    says: 'Take a job out of the dead letters without running it.',
    params: job,
    reply: jobView,
  },
  replayJob: {
    method: 'POST',
    path: '/v1/jobs/{id}/replay',
    caller: 'submit',
    says: 'Submit the exact bytes of a job that ended once more, as a new job (201 and Location). A repeat answers the same new job.',
    params: job,
    body: empty,
    reply: jobView,
    status: 201,
  },
  replayJobs: {
    method: 'POST',
    path: '/v1/replays',
    caller: 'submit',
    says: 'Replay the dead letters that match, latest end first.',
    body: replayBody,
    reply: replayReply,
  },
})
