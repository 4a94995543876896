// What of a job may leave its worker, and how: secrets are taken out, and what it says is sealed where it names recipients.
import { limit } from '../protocol/limit.ts'
import type { ArtifactReport, TelemetryBody } from '../protocol/word.ts'
import { sealBoxes } from '../seal/box.ts'
import { sealInline } from '../seal/envelope.ts'
import { createSegmentWriter, type Interruption } from '../seal/segment.ts'
import type { Signer } from '../seal/signature.ts'
import { loadSodium, type Sodium } from '../seal/sodium.ts'
import type { Random } from '../system/random.ts'
import { type Encoder, plainEncoder, sealedEncoder } from './encoder.ts'
import type { ClaimFacts, Ending } from './journal-entry.ts'
import type { Secret } from './needle.ts'
import { createRedaction, type Redactor, type Scanner } from './redact.ts'

export type Event = TelemetryBody['events'][number]

export interface Privacy {
  /** One in front of each spool. */
  redactor(): Redactor
  /** For a file that is withheld when it holds a secret. */
  scanner(): Scanner
  /** A path as it may be said. */
  text(text: string): string
  encoder(stream: string, capBytes: number, after?: Interruption): Encoder
  event(event: Event): Promise<Event>
  /** Its message, result and paths as they may be kept and said. */
  ending(ending: Ending): Promise<Ending>
  /** Whether what it says is sealed. */
  readonly sealed: boolean
  /** Whether there is anything to take out. */
  readonly hasSecrets: boolean
}

export interface PrivacyParts {
  readonly random: Random
  /** The worker's. */
  readonly signer: Signer
  readonly claim: ClaimFacts
  /** Values of its credential. */
  readonly secrets: readonly Secret[]
}

/** It remembers nothing of a job, so that all of them share it. */
const nothingToTakeOut = createRedaction([])

export async function createPrivacy(parts: PrivacyParts): Promise<Privacy> {
  const redaction = parts.secrets.length > 0 ? createRedaction(parts.secrets) : nothingToTakeOut
  const { recipients } = parts.claim
  const seal = recipients ? createSealing(parts, { sodium: await loadSodium(), recipients }) : undefined
  return {
    sealed: seal !== undefined,
    hasSecrets: parts.secrets.length > 0,
    redactor: () => redaction.redactor(),
    scanner: () => redaction.scanner(),
    text: (text) => redaction.text(text),
    encoder: (stream, capBytes, after) => seal?.encoder(stream, capBytes, after) ?? plainEncoder(capBytes),
    async event(event) {
      const said = { ...event, ...(event.data && { data: redaction.json(event.data) as Event['data'] }) }
      return seal ? await seal.event(said) : said
    },
    async ending(ending) {
      const said = redacted(ending)
      return seal ? await seal.ending(said) : said
    },
  }

  function redacted({ message, result, artifacts, ...rest }: Ending): Ending {
    return {
      ...rest,
      ...(message !== undefined && { message: redaction.text(message).slice(0, limit.messageChars) }),
      ...(result !== undefined && { result: redaction.jsonText(result) }),
      ...(artifacts && { artifacts: redaction.json(artifacts) as ArtifactReport[] }),
    }
  }
}

const TOO_LONG = 'the result is too long to be sealed'

interface SealingWish {
  readonly sodium: typeof Sodium
  readonly recipients: readonly string[]
}

function createSealing({ random, signer, claim }: PrivacyParts, { sodium, recipients }: SealingWish) {
  const { job_id: job, claim_id, job_digest: jobDigest } = claim
  // A key that nothing can be sealed to is told before anything runs.
  sealBoxes(sodium, recipients, {
    key: 'A'.repeat(43),
    context: { kind: 'private', job, claim: claim_id, part: 'end' },
  })
  const seal = (part: string, value: unknown) =>
    sealInline(
      { sodium, random, recipients, context: { kind: 'private', job, claim: claim_id, part } },
      Buffer.from(JSON.stringify(value)),
    )
  return {
    encoder(stream: string, capBytes: number, after?: Interruption): Encoder {
      const place = { job, claim: claim_id, stream }
      const writer = { sodium, random, signer, stream: place, jobDigest, recipients, capBytes }
      return sealedEncoder(createSegmentWriter({ ...writer, ...(after && { after }) }))
    },
    async event({ id, at, ...what }: Event): Promise<Event> {
      return { id, type: 'sealed', at, data: { sealed: await seal(id, what) } }
    },
    /** Paths stay inside; which stream each is may be known. */
    async ending({ message, result, artifacts, ...rest }: Ending): Promise<Ending> {
      const open = artifacts?.map(({ path: _, ...report }) => report)
      const inside = { message, result, artifacts }
      const said = { ...rest, ...(open && { artifacts: open }) }
      if (Object.values(inside).every((it) => it === undefined)) return said
      // In the order in which it is given up: pond refuses a word that says too much, and with it how the job ended.
      const told = message ?? TOO_LONG
      for (const part of [inside, { message: told, artifacts }]) {
        const text = JSON.stringify(await seal('end', part))
        if (text.length <= limit.sealedInlineBytes) return { ...said, result: text }
      }
      return { ...said, result: JSON.stringify(await seal('end', { message: told })) }
    },
  }
}
