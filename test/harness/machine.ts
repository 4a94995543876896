// A paired machine that speaks the wire by hand: it pairs with a real MAC, polls, says words and sends chunks exactly as a test tells it.
import { createHash } from 'node:crypto'
import type { PairingBody } from '../../src/protocol/admin.ts'
import type { Resources, WorkerClass } from '../../src/protocol/field.ts'
import type { BindingId, ClaimId, WorkerId } from '../../src/protocol/id.ts'
import type { JobSpec, Labels } from '../../src/protocol/job.ts'

import type { Intent, PairBody, PollBody, SnapshotBody } from '../../src/protocol/orch.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'

import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import type { WordBody } from '../../src/protocol/word.ts'
import { attest, describeExecution, type FinalWord } from '../../src/seal/attestation.ts'
import { pairingMac, parsePairingCode } from '../../src/seal/pairing.ts'
import type { Signer } from '../../src/seal/signature.ts'
import type { Answered, PondRig } from './pond.ts'

import { bindingPair } from './signing-key.ts'

import { workerSigner } from './worker-key.ts'

type Word = Omit<WordBody, 'claim_id'>

export interface Machine {
  readonly bindingId: BindingId
  readonly workerId: WorkerId
  readonly token: string
  /** Signs its attestations; replaced when its keys are. */
  signer: Signer
  /** As it was sent, so that a test can send it again. */
  readonly paired: PairBody
  /** New after a restart of the machine. */
  session: string
  /** `heard`: the `seq` of the poll whose reply arrived. */
  poll(
    body?: Omit<Partial<PollBody>, 'heard'> & {
      readonly heard?: number
      readonly slots?: number
      readonly signal?: AbortSignal
    },
  ): Promise<Answered<'poll'>>
  /** Polls once under a new claim key and answers what came. */
  take(slots?: number): Promise<readonly Intent[]>
  /** Takes the one job that is there and confirms it. */
  start(slots?: number): Promise<Intent>
  /** A final word is attested unless it brings an attestation of its own, or `attestation: undefined`. */
  say(intent: Intent, word: Word): Promise<Answered<'sendWord'>>
  /** What it signs about final words, each with the intent of its claim. */
  attest(...told: readonly (readonly [Intent, Word])[]): Dsse
  /** A final word for each, and what the reply brought. */
  end(intents: readonly Intent[], options?: { readonly refill?: boolean }): Promise<readonly Intent[]>
  send(
    intent: Intent,
    chunk: { readonly stream?: string; readonly offset: number; readonly bytes: Uint8Array | string },
  ): Promise<Answered<'sendChunk'>>
  /** Which of these the machine says it has. */
  have(intents: readonly Intent[]): PollBody['have']
}

export const aKey = (letter: string) => `${letter.repeat(42)}A`

export async function createCode(rig: PondRig, project = 'default', more: Partial<PairingBody> = {}) {
  const { reply } = await rig.call('createPairingCode', { body: { project, ...more } })
  const code = parsePairingCode(reply.code)
  if (!code) throw new Error('pond prints whole codes')
  return { ...reply, parsed: code }
}

export interface PairSaying {
  readonly letter?: string
  readonly slots?: number
  /** Beside its slots. */
  readonly has?: Omit<Resources, 'slots'>
  readonly name?: string
  /** What it says of its own labels. */
  readonly labels?: Labels
  readonly without?: readonly string[]
  readonly ephemeral?: boolean
  readonly class?: WorkerClass
  /** It tells no snapshot. */
  readonly silent?: boolean
  /** A real one, where something is to be opened with it. */
  readonly sealingKey?: string
}

/** What a machine with these keys says to pair. */
export function pairBody(code: NonNullable<ReturnType<typeof parsePairingCode>>, said: PairSaying = {}): PairBody {
  const { letter = 'k', slots = 4, has, name = 'box', labels = {}, without, sealingKey = aKey(letter) } = said
  const body = {
    code: code.id,
    name,
    protocol: PROTOCOL,
    binding_key: bindingPair(letter).publicKey,
    worker: {
      ...{ sealing_key: sealingKey, signing_key: workerSigner(letter).publicKey },
      ...{ labels, ...(without && { without_labels: [...without] }), resources: { slots, ...has } },
    },
  }
  return { ...body, mac: pairingMac(code.secret, body) }
}

/** It keeps its jobs apart, so that it may have confidential ones. */
const firstSnapshot = ({ worker }: PairBody, worker_id: WorkerId, kind?: WorkerClass): SnapshotBody => ({
  session: 'before-session-1',
  seq: 1,
  workers: [
    {
      worker_id,
      keys: { sealing_key: worker.sealing_key, signing_key: worker.signing_key },
      ...{ labels: worker.labels, resources: worker.resources },
      ...{ inflight: 0, load: 0, version: '0', sandbox: 'uid' },
      ...(kind && { class: kind }),
    },
  ],
})

/** Pairs, and uses the token once: from then on it is the only one. */
async function introduce(rig: PondRig, said: PairSaying & { readonly project?: string }) {
  const { parsed } = await createCode(rig, said.project, { ephemeral: said.ephemeral ?? false })
  const paired = pairBody(parsed, said)
  const { reply } = await rig.call('pair', { body: paired, token: null })
  if (said.silent) await rig.call('orchWhoami', { token: reply.token })
  else await rig.call('sendSnapshot', { token: reply.token, body: firstSnapshot(paired, reply.worker_id, said.class) })
  return { paired, reply }
}

export async function pairMachine(
  rig: PondRig,
  said: PairSaying & { readonly project?: string } = {},
): Promise<Machine> {
  const { paired, reply } = await introduce(rig, said)
  let [seq, turn] = [0, 0]
  const receipts = new Map<number, string>()
  const machine: Machine = {
    bindingId: reply.binding_id,
    workerId: reply.worker_id,
    token: reply.token,
    signer: workerSigner(said.letter ?? 'k'),
    paired,
    session: 'session-1',
    async poll({ slots = 1, signal, heard, ...body } = {}) {
      seq = body.seq ?? seq + 1
      const workers = [{ worker_id: reply.worker_id, free: { slots } }]
      const key = { session: machine.session, seq, claim_key: `claim-key-${turn}` }
      const told = heard !== undefined && { heard: receipts.get(heard) ?? `none.${heard}` }
      // A machine of the step before does not say what it heard, and is believed.
      const said: PollBody = { protocol: OLDEST_PROTOCOL, ...key, wait_ms: 1000, workers, have: [], ...body, ...told }
      const answer = await rig.call('poll', { token: reply.token, body: said, ...(signal ? { signal } : {}) })
      if (answer.reply?.receipt) receipts.set(key.seq, answer.reply.receipt)
      return answer
    },
    async take(slots = 1) {
      turn++
      const polled = machine.poll({ slots })
      let open = true
      void polled.finally(() => {
        open = false
      })
      await rig.clock.settle()
      if (open) await rig.clock.advance(1000)
      return (await polled).reply.intents
    },
    async start(slots) {
      const [intent] = await machine.take(slots)
      if (!intent) throw new Error('there is no job to take')
      await machine.say(intent, { state: 'running' })
      return intent
    },
    say: (intent, word) =>
      rig.call('sendWord', {
        token: reply.token,
        params: { id: intent.job_id },
        headers: { 'x-claim-token': intent.claim_token },
        body: { claim_id: intent.claim_id, ...(word.state === 'final' && proved(machine, intent, word)), ...word },
      }),
    attest: (...told) => {
      const executions = told.map(([intent, word]) => describeExecution(wordOf(intent, word), originOf(intent)))
      return attest(machine.signer, { worker: reply.worker_id, version: '0.0.0' }, executions)
    },
    async end(intents, options = {}) {
      const attestation = machine.attest(...intents.map((intent) => [intent, finalWord] as const))
      const body = { words: intents.map(finalWordOf), attestation, ...options }
      return (await rig.call('sendWords', { token: reply.token, body })).reply.intents ?? []
    },
    send: (intent, { stream = 'stdout', offset, bytes }) =>
      rig.call('sendChunk', {
        token: reply.token,
        params: { id: intent.job_id },
        query: { claim: intent.claim_id, stream, offset: `${offset}`, at: '1', order: `${offset}` },
        headers: { 'x-claim-token': intent.claim_token },
        body: Buffer.from(bytes as string),
      }),
    have: (intents) => intents.map(({ claim_id }) => ({ claim_id: claim_id as ClaimId, state: 'running' as const })),
  }
  return machine
}

const wordOf = ({ job_id, claim_id }: Intent, { state: _state, attestation: _proof, ...word }: Word): FinalWord => ({
  job_id,
  claim_id,
  ...word,
})

function originOf({ job, epoch, source_bundle }: Intent) {
  const job_digest = createHash('sha256').update(Buffer.from(job, 'base64')).digest('hex')
  return { job_digest, epoch, bundle: source_bundle?.digest }
}

/** Nothing for a word that pond will not even parse. */
function proved(machine: Machine, intent: Intent, word: Word): { readonly attestation?: Dsse } {
  return word.cause === undefined ? {} : { attestation: machine.attest([intent, word]) }
}

/** Submits a job and answers what pond shows of it. */
export async function submit(rig: PondRig, job: Partial<JobSpec> = {}, headers: Record<string, string> = {}) {
  const { reply } = await rig.call('submitJob', { body: { command: ['true'], ...job }, headers })
  if ('items' in reply) throw new Error('one job was sent')
  return reply
}

export async function jobOf(rig: PondRig, id: string) {
  return (await rig.call('getJob', { params: { id } })).reply
}

export const finalWord = { state: 'final', cause: 'exit', rc: 0 } as const

const finalWordOf = ({ job_id, claim_id, claim_token }: Intent) => ({ job_id, claim_id, claim_token, ...finalWord })
