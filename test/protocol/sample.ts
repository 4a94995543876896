// One valid sample of each id and of each request of the wire, for the tests of the protocol.
import type { RouteName } from '../../src/protocol/route.ts'

export const body = '01kak7m3xq8v2w5n9c4r6t0hzd'
export const ids = {
  prj: `prj_${body}`,
  key: `key_${body}`,
  bnd: `bnd_${body}`,
  wrk: `wrk_${body}`,
  job: `job_${body}`,
  clm: `clm_${body}`,
  cod: `cod_${body}`,
} as const

export const publicKey = 'ypOsFwUYcHHWe4PH_w7-gQjo7EUwV113JoeTM9vavnw'
export const digest = 'c5b940ed3f65c391965de8295fc5d25f474fa57b48d36eb10ad363b8539c1b79'

const resources = { slots: 2, cpus: 8, memory_bytes: 1, gpus: [{ uuid: 'GPU-1', model: 'T4', vram_bytes: 1 }] }
const labels = { site: 'lab' }

export const fullJob = {
  command: ['sh', '-c', 'true'],
  env: { A: '1' },
  input: 'in',
  labels,
  requires: { labels: { site: 'lab', zone: { op: 'in', value: ['a'] } }, cpus: 1, gpus: { count: 1 }, os: 'linux' },
  sandbox: { network: 'none' },
  credential: 'c',
  bundle: digest,
  recipients: ['r'],
  artifacts: ['*.txt'],
  priority: 9,
  ttl_ms: 1,
  timeout_ms: 1,
  retry: { on: ['exit'], attempts: 1, backoff_ms: 0 },
  on_lost: 'hold',
  hold_ms: 1,
  idempotent: true,
  limits: { stream_bytes: 1, artifact_bytes: 1 },
  after: ['job', { job: 'job', on: 'end' }],
  count: 1,
  max_parallel: 1,
} as const

export const finalWord = {
  claim_id: ids.clm,
  state: 'final',
  cause: 'exit',
  rc: 0,
  started_at: 1,
  ended_at: 2,
  message: 'm',
  usage: { cpu_ms: 1, max_rss_bytes: 1, wall_ms: 1, sampled: false },
  result: '{}',
  streams: { stdout: { bytes: 1, sha256: digest, produced: 1, end: 'complete' } },
} as const

const signed = { payloadType: 'x', payload: 'e30=', signatures: [{ keyid: publicKey, sig: 'c2ln' }] }
const forClaim = { job_id: ids.job, claim_id: ids.clm, worker_id: ids.wrk }
const sealedOf = (context: object) => ({
  format: 1,
  context,
  boxes: [{ to: '0000-0000-0000-0000-0000-0000-0000-0000', box: 'AAAA' }],
})

/** Bodies by route; a route with two forms has two. */
export const bodies: Partial<Record<RouteName, readonly object[]>> = {
  pair: [
    {
      code: ids.cod,
      name: 'lab-7',
      protocol: 2,
      binding_key: publicKey,
      worker: { sealing_key: publicKey, signing_key: publicKey, labels, resources },
      mac: digest,
    },
  ],
  poll: [
    {
      protocol: 2,
      session: 'session1',
      seq: 1,
      claim_key: 'key-0001',
      wait_ms: 0,
      workers: [{ worker_id: ids.wrk, free: { slots: 0, cpus: 0, memory_bytes: 0, gpus: ['GPU-1'] } }],
      have: [{ claim_id: ids.clm, state: 'running', started_at: 1 }],
    },
  ],
  sendWords: [{ words: [{ job_id: ids.job, claim_token: 'token', ...finalWord }] }],
  sendWord: [finalWord],
  sendTelemetry: [{ claim_id: ids.clm, events: [{ id: 'e', type: 'progress', at: 1, data: { done: 1 } }] }],
  sendSnapshot: [
    {
      session: 'session1',
      seq: 1,
      workers: [
        {
          worker_id: ids.wrk,
          keys: { sealing_key: publicKey, signing_key: publicKey },
          labels,
          resources,
          inflight: 0,
          load: 0.5,
          version: '1',
          os: 'linux',
          arch: 'x64',
          executor: 'process',
          state: 'ready',
        },
      ],
    },
  ],
  unpair: [{}],
  submitJob: [fullJob, { jobs: [fullJob] }, { signed }],
  seal: [forClaim],
  bundleToken: [forClaim],
  bundleRedeem: [{ ...forClaim, token: 'token' }],
  putCredential: [
    { sealed: { ...sealedOf({ kind: 'credential', project: 'p', name: 'n', signer: publicKey }), frames: 'AAAA' } },
    { signed },
  ],
  sealBundle: [
    { sealed: { ...sealedOf({ kind: 'bundle', project: 'p', signer: publicKey }), digest, size: 1 } },
    { signed },
  ],
  putRecipients: [{ recipients: ['pond_recipient_x'] }],
  agreeCallKey: [{ half: publicKey }],
  rotate: [{ binding: signed, workers: [signed] }],
  enroll: [
    { name: 'lab-8', worker: { sealing_key: publicKey, signing_key: publicKey, labels, resources }, mac: digest },
  ],
  createEnrollmentCode: [
    { binding: ids.bnd, expires_ms: 1000, labels, fingerprint: '0000-0000-0000-0000-0000-0000-0000-0000' },
  ],
  drainWorker: [{ deadline_ms: 1000, note: 'n' }],
  resumeWorker: [{}],
  drainBinding: [{ deadline_ms: 1000, note: 'n' }],
  cordonWorker: [{ for_ms: 1000, note: 'n' }],
  cordonBinding: [{ for_ms: 1000, note: 'n' }],
  pauseProject: [{ for_ms: 1000, note: 'n' }],
  reinstateWorker: [{}],
  rotatePondKey: [{}],
  cancelJob: [{}],
  cancelJobs: [{ label: 'a=b' }],
  adoptAttempt: [{ attempt: 1 }],
  replayJob: [{}],
  replayJobs: [{ cause: 'exit', label: 'a=b', array: ids.job, most: 1 }],
  createProject: [{ name: 'p' }],
  putWeight: [{ weight: 1 }],
  putLadder: [{ friends: ['p'], public: true }],
  setQuota: [
    {
      ...{ queued: 1, running: 1, submits_per_minute: 1, cpu_seconds_per_day: 1, output_bytes_per_day: 1 },
      priority_most: 0,
    },
  ],
  createKey: [{ kind: 'project', project: 'p', name: 'n', scopes: ['read'], expires_ms: 1000 }],
  createPairingCode: [{ project: 'p', uses: 1, expires_ms: 1000, labels, ephemeral: true }],
}

export const queries: Partial<Record<RouteName, object>> = {
  sendChunk: { claim: ids.clm, stream: 'stdout', offset: '0', at: '1', order: '2' },
  fetchBundle: { job: ids.job, claim: ids.clm, offset: '0' },
  putBundle: { offset: '0', size: '1' },
  listJobs: { state: 'queued', label: 'a=b', cursor: 'c', limit: '1' },
  getJob: { wait_ms: '0', above: '0' },
  readStream: { attempt: '1', offset: '0', wait_ms: '0', follow: '1' },
  getAttestation: { attempt: '1' },
  listArtifacts: { attempt: '1' },
  readArtifact: { attempt: '1', offset: '0', wait_ms: '0', follow: '0' },
  listChunks: { attempt: '1', offset: '0', wait_ms: '0', follow: '0' },
  followJobs: { label: 'a=b' },
  listAllJobs: { state: 'queued' },
  listAudit: { cursor: 'c', limit: '1' },
  listDead: { cause: 'exit', label: 'a=b', array: ids.job, cursor: 'c', limit: '1' },
  getUsage: { days: '31', project: 'p' },
}
