// The one table of refusals: a code, its status, whether the same call may be tried again, and what to do next.

/** `never`: the same call fails again. `now`: act on the details, then call again. `later`: wait with jitter, then call again. */
export type RetryClass = 'never' | 'now' | 'later'

export interface ErrorRow {
  readonly status: number
  readonly retry: RetryClass
  readonly help: string
}

const row = (status: number, retry: RetryClass, help: string): ErrorRow => ({ status, retry, help })

export const errorTable = {
  malformed: row(400, 'never', 'Send a JSON body (or raw bytes for a chunk) as the route table says.'),
  unauthenticated: row(
    401,
    'never',
    'Send a valid token as Authorization: Bearer TOKEN, and a call under /orch signed by its key at the right time.',
  ),
  forbidden: row(403, 'never', 'Use a token whose kind and scope allow this call.'),
  not_found: row(404, 'never', 'Check the id; ids of other projects look like unknown ones.'),
  method_not_allowed: row(405, 'never', 'The path exists, but not with this method.'),
  body_timeout: row(408, 'later', 'The body came too slowly; send it again.'),
  conflict: row(409, 'never', 'Another result, or other bytes, of this claim stand; drop these.'),
  code_used: row(409, 'never', 'Another machine paired with this code; ask the operator for a new one.'),
  session_conflict: row(409, 'later', 'Another swarm polls with this binding; stop one of the two.'),
  chunk_gap: row(409, 'now', 'Send again from details.committed.'),
  streams_incomplete: row(409, 'now', 'Send what details.streams lacks, then the final word again.'),
  not_possible: row(409, 'never', 'The state in details.state does not allow this.'),
  no_seal: row(409, 'never', 'What the job needs cannot be sealed to this worker; details.reason tells why.'),
  exists: row(409, 'never', 'It is there already; choose another name.'),
  stale: row(410, 'never', 'This claim no longer holds the job; stop its process.'),
  claim_ended: row(410, 'never', 'The claim has its final word; nothing can be added.'),
  code_expired: row(410, 'never', 'Ask the operator for a new code: pond pairing create.'),
  code_burned: row(410, 'never', 'Too many wrong tries; ask the operator for a new code: pond pairing create.'),
  body_too_large: row(413, 'never', 'Send less; details.most tells how many bytes fit.'),
  stream_full: row(413, 'never', 'The cap is reached; end the stream as capped.'),
  invalid_field: row(422, 'never', 'Mend the field that details.field names.'),
  unknown_field: row(422, 'never', 'Leave the field out, or bring pond up to date.'),
  unsupported: row(422, 'never', 'This pond knows the field and does not serve it; leave it out.'),
  digest_mismatch: row(
    422,
    'never',
    'What came is not what the digest says; nothing of it was kept. Start again at 0.',
  ),
  idempotency_mismatch: row(422, 'never', 'This Idempotency-Key stands for another body; use a new key.'),
  not_final: row(425, 'later', 'The job has not ended; wait with GET /v1/jobs/{id}?wait_ms=.'),
  upgrade_required: row(426, 'never', 'Bring the older side up to date; details.protocol names what is spoken here.'),
  quota_exceeded: row(
    429,
    'later',
    'Wait as long as Retry-After says; details.quota names what the project used up, pond usage shows all of it.',
  ),
  too_many_requests: row(429, 'later', 'Wait as long as Retry-After says.'),
  internal: row(500, 'later', 'A fault in pond; its log has the request id.'),
  store_failing: row(503, 'later', 'The database did not take the write; nothing of it was done.'),
  shutting_down: row(503, 'later', 'Pond is stopping; call again.'),
  disk_full: row(507, 'later', 'Pond has no room left; the operator must free disk.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

export type ErrorDetails = Readonly<Record<string, unknown>>

/** The body of every refusal. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode
    readonly message: string
    readonly details: ErrorDetails
    readonly help: string
  }
  readonly request_id: string
}

/** A refusal on its way out of pond: what is wrong in one sentence, and facts for a program. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}
