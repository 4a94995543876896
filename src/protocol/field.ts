// Small schemas that several pages of the wire share: numbers in a query, keys, names, resources.
import { z } from 'zod'
import { labelKey, labels } from './job.ts'
import { limit } from './limit.ts'

/** A whole number written in a query. */
export const queryInt = (least: number, most: number) =>
  z
    .string()
    .regex(/^[0-9]{1,16}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(least).max(most))

export const wallMs = z.int().min(0)
export const bytesCount = z.int().min(0)

/** 32 bytes of a public key in unpadded base64url. The last letter carries two bits that must be zero: a key has one text. */
export const publicKey = z
  .string()
  .regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, 'must be 32 bytes in unpadded base64url')

/** SHA-256 or HMAC-SHA-256 in lower-case hex. */
export const digest = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')

/** What people call a project, a key or a machine. */
export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9._ -]{0,61}[A-Za-z0-9])?$/,
    'must be 1 to 63 letters, digits, dots, dashes, spaces or _',
  )

export const streamNames = ['stdout', 'stderr', 'stdout.tail', 'stderr.tail'] as const
/** Artifacts are numbered in the order in which they were collected; their paths stand in the final word. */
export type StreamName = (typeof streamNames)[number] | `artifact/${number}`
const ARTIFACT = 'artifact/'
const artifactStreams = limit.streamsPerClaim - streamNames.length
const looksLikeStream = /^(stdout|stderr)(\.tail)?$|^artifact\/(0|[1-9][0-9]{0,3})$/
export const streamName = z
  .custom<StreamName>((value) => typeof value === 'string' && isStreamName(value), {
    message: `must be ${streamNames.join(', ')} or artifact/N with N below ${artifactStreams}`,
  })
  .meta({ type: 'string', pattern: looksLikeStream.source })

export const isArtifact = (name: string) => name.startsWith(ARTIFACT)

/** Its number bounds how many streams a claim can have, so that nobody has to count them. */
function isStreamName(text: string): boolean {
  return looksLikeStream.test(text) && (!isArtifact(text) || Number(text.slice(ARTIFACT.length)) < artifactStreams)
}

export const gpu = z.strictObject({
  uuid: z.string().max(128),
  model: z.string().max(128).optional(),
  vram_bytes: bytesCount.optional(),
})

export type Gpu = z.infer<typeof gpu>

/** What a worker has in all. */
export const resources = z.strictObject({
  slots: z.int().min(1).max(limit.slotsPerWorker),
  cpus: z.number().min(0).optional(),
  memory_bytes: bytesCount.optional(),
  /** Free for the folders of its jobs, with what those may still fill that hold some of it. Step 4. */
  disk_bytes: bytesCount.optional(),
  gpus: z
    .array(gpu)
    .max(64)
    .refine((all) => new Set(all.map(({ uuid }) => uuid)).size === all.length, 'must not name a device twice')
    .optional(),
})
export type Resources = z.infer<typeof resources>

/**
 * What keeps a job from the keys of its worker, from the owner's home and from other jobs. `uid`: each job is a user of its own, which
 * takes root. `bubblewrap`: each sees a file system and processes of its own. `none`: nothing does.
 */
export const sandboxes = ['uid', 'bubblewrap', 'none'] as const
export type Sandbox = (typeof sandboxes)[number]

/** What a job can have as `sandbox.network`, by what keeps jobs apart: `host`, and where it can be cut off too, `none`. */
export const networks: Readonly<Record<Sandbox, readonly string[]>> = {
  uid: ['host'],
  bubblewrap: ['host', 'none'],
  none: ['host'],
}

/** `server`: silent for long, it is gone. `laptop`: it may only be asleep. */
export const workerClasses = ['server', 'laptop'] as const
export type WorkerClass = (typeof workerClasses)[number]

export const workerLabels = labels

/** Keys of labels that a worker's code gives, and that it is to be without. Step 4. */
export const withoutLabels = z.array(labelKey).max(limit.labels)
