// Every number of the wire in one place, each with its unit in the name and its reason beside it.

const KiB = 1024
const MiB = 1024 * KiB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

export const limit = {
  /** One chunk: big enough to amortise an fsync, small enough to lose little on a broken line. */
  chunkBytes: 256 * KiB,
  /** A JSON body. A job with a full stdin and a full environment fits; a 10 MB body does not. */
  bodyBytes: 4 * MiB,
  /** Text for stdin inside a job; more belongs into a bundle. */
  inputBytes: 1 * MiB,
  /** What `$POND_RESULT` may hold. */
  resultBytes: 1 * MiB,
  /** Error text for people. */
  messageChars: 4096,
  /** Why a worker takes no jobs: a line in a list. */
  noteChars: 512,
  /** Kept of stdout and of stderr unless the job asks for more. */
  streamBytes: 64 * MiB,
  /** The most that a job may ask for, unless the operator sets another. */
  streamBytesMost: 4096 * MiB,
  /** Kept of the end of a capped stream, as `<name>.tail`. */
  tailBytes: 64 * KiB,
  artifactBytes: 2048 * MiB,
  artifactBytesMost: 65_536 * MiB,
  /** Streams of one claim: stdout, stderr, their tails and artifacts. */
  streamsPerClaim: 1024,
  commandWords: 4096,
  /** One argument or environment value; Linux takes 128 KiB for one string. */
  wordBytes: 128 * KiB,
  envEntries: 1024,
  labels: 64,
  /** Keys that one thing is sealed to; each costs a box of about 400 bytes in every segment. */
  recipients: 64,
  /** Credentials and results with what sealing puts around them, in base64; a JSON body still has room for it. */
  sealedInlineBytes: 3584 * KiB,
  /** Paths of the artifacts of a job, all together. */
  artifactPathBytes: 128 * KiB,
  /** Env values and files of a credential before sealing. */
  credentialBytes: 64 * KiB,
  /** Of one project. */
  credentialsPerProject: 1024,
  /** An input archive, sealed. */
  bundleBytes: 16_384 * MiB,
  /** Kept of one project, half uploads included; those that nobody uses go with the retention. */
  bundlesPerProject: 4096,
  /** Of all bundles of one project: one that floods leaves room for the others. */
  bundlesBytesMost: 262_144 * MiB,
  /** Files that the globs of a job bring. */
  artifactsPerJob: 1000,
  labelKeyChars: 63,
  labelValueChars: 255,
  nameChars: 63,
  batchJobs: 1000,
  /** Elements of one array. */
  arrayMost: 100_000,
  /** Of a project's part of shared machines; the usual one leaves room on both sides. */
  weightMost: 10_000,
  /** Projects that a binding serves by name; beyond, let it serve everybody. */
  friendsPerBinding: 256,
  /** Kinds of requirements that wait in one project; each look for a job goes through them. */
  requirementClasses: 1000,
  wordsPerCall: 256,
  eventsPerCall: 256,
  /** One telemetry or progress event as JSON. */
  eventBytes: 16 * KiB,
  /** Objects and lists inside each other in an event; much deeper ones overflow the stack of whoever prints them. */
  eventDepth: 1000,
  /** Telemetry events kept for a claim; later ones are counted, not kept. */
  eventsPerClaim: 10_000,
  workersPerBinding: 256,
  /** Claims that one poll may name in `have`. */
  havePerPoll: 4096,
  slotsPerWorker: 4096,
  /** Dead letters of one call; each is admitted as a submit of its own. */
  replaysMost: 1000,
  listMost: 1000,
  listDefault: 50,
  /** The longest hold of a poll, and of one that holds claims (its cancels must not wait). */
  pollHoldMs: 50 * SECOND,
  pollHoldBusyMs: 20 * SECOND,
  /** Beyond its hold: when a swarm gives up a poll, and pond one that polls and hears nothing. */
  pollGraceMs: 15 * SECOND,
  /** The longest `wait_ms` of a consumer's call. */
  waitMs: 50 * SECOND,
  leaseMs: 90 * SECOND,
  /** The lease of a laptop: its lid is closed, and it is carried to the next room. */
  awayMs: 15 * MINUTE,
  confirmMs: 15 * SECOND,
  /** After a decline this worker is passed over for this job. */
  passOverMs: 5 * MINUTE,
  /** After one that says `refused`: its owner's rules do not change so soon, and each try is a claim for nothing. */
  refusedMs: 1 * HOUR,
  snapshotLeastMs: 2 * SECOND,
  snapshotMostMs: 30 * SECOND,
  pairingCodeMs: 10 * MINUTE,
  pairingTries: 5,
  /** How far the time of a signature may be from pond's clock, either way. */
  signatureSkewMs: 5 * MINUTE,
  /** The life of a call key: one that leaks from memory is worth nothing after it. */
  callKeyMs: 1 * HOUR,
  /** Of one binding; a swarm has one, and the next before it is over. */
  callKeysPerBinding: 4,
  idempotencyKeyMs: 7 * 24 * HOUR,
  idempotencyKeyChars: 255,
  /** SIGTERM, then this long, then SIGKILL of the whole tree. */
  killGraceMs: 10 * SECOND,
  attemptsMost: 100,
  backoffMostMs: 1 * HOUR,
  holdMostMs: 7 * 24 * HOUR,
  /** The longest expiry of a cordon or a pause; what is to last longer has none and is taken back by hand. */
  stopMostMs: 30 * 24 * HOUR,
  timeoutMostMs: 30 * 24 * HOUR,
  ttlMostMs: 30 * 24 * HOUR,
} as const

/** Retries after no reply, an undecodable reply, 429 and 5xx: full jitter between these, forever. */
export const retryWait = { baseMs: 1 * SECOND, mostMs: 60 * SECOND } as const
