// The public names of the package: a client for pond, the wire as schemas, and a swarm to embed.
export { type ClientParts, createClient } from './client/client.ts'
export type { Answer, Call, CallError, CallErrorCode, Client, StreamAnswer } from './client/contract.ts'
export { createNetwork, type HttpNetwork } from './client/network.ts'
export type { Execution, Executor, Exit, Plan, Usage, Watch } from './executor/contract.ts'
export { createProcessExecutor, type ProcessExecutorParts } from './executor/process.ts'
export * from './orchestrator/swarm.ts'
export {
  type AttemptView,
  attemptView,
  type JobView,
  jobView,
  type WorkerView,
  workerView,
} from './protocol/consumer.ts'
export {
  type ErrorBody,
  type ErrorCode,
  type ErrorRow,
  errorTable,
  Refusal,
  type RetryClass,
} from './protocol/error.ts'
export {
  type Cause,
  causeTable,
  finalStates,
  isFinal,
  type JobSpec,
  type JobState,
  jobSpec,
  jobStates,
} from './protocol/job.ts'
export { limit, retryWait } from './protocol/limit.ts'
export {
  type BodyOf,
  type ParamsOf,
  type QueryOf,
  type ReplyOf,
  type RouteName,
  type Routes,
  routes,
} from './protocol/route.ts'
export type { Caller, ReplyKind, Route } from './protocol/shape.ts'
export { OLDEST_PROTOCOL, PROTOCOL } from './protocol/version.ts'
export { hashPondKey } from './seal/pairing.ts'
export { createCallSigner, type SignCall } from './seal/request-signature.ts'
export { type Cancel, type Clock, systemClock } from './system/clock.ts'
export { type Disk, type DiskFile, systemDisk } from './system/disk.ts'
export { type Log, type LogFields, silentLog } from './system/log.ts'
export type { HttpReply, HttpRequest, Network } from './system/network.ts'
export { type Random, systemRandom } from './system/random.ts'
