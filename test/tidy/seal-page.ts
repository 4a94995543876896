// The tables of src/seal/README.md, printed from the code: its numbers, fields, places, types of signatures and forms of keys.
import type { z } from 'zod'
import { limit } from '../../src/protocol/limit.ts'
import {
  bound,
  box,
  context,
  dsse,
  grant,
  payloadType,
  sealedDetached,
  sealedInline,
  segmentHeader,
  segmentTrailer,
} from '../../src/protocol/sealed.ts'
import { FRAME_BYTES, FRAME_EXTRA_BYTES, HEADER_BYTES, LENGTH_BYTES, TAG_BYTES } from '../../src/seal/frame.ts'
import { keyPrefix } from '../../src/seal/key-text.ts'
import {
  END_BIT,
  HEADER_BIT,
  HEADER_TEXT_BYTES_MOST,
  SIGNATURE_BYTES,
  STRIDE_BYTES,
  signedHeader,
  TRAILER_BIT,
} from '../../src/seal/segment.ts'
import { printTable } from './page.ts'

const code = (text: string | number) => `\`${text}\``

export function printSealNumbers(): string {
  const rows: readonly (readonly [string, number])[] = [
    ['Plaintext of a frame, at most', FRAME_BYTES],
    ['A frame on top of its plaintext, without its length', TAG_BYTES],
    ['The length in front of a frame or a header', LENGTH_BYTES],
    ['A frame on top of its plaintext, with its length', FRAME_EXTRA_BYTES],
    ['Secretstream header', HEADER_BYTES],
    ['Signature of a segment header', SIGNATURE_BYTES],
    ['Segments stop at multiples of', STRIDE_BYTES],
    ['Segment header, at most', HEADER_TEXT_BYTES_MOST],
    ['Bit of a segment header', HEADER_BIT],
    ['Bit of a trailer', TRAILER_BIT],
    ['Bit of the end', END_BIT],
    ['Boxes, at most', limit.recipients],
    ['Frames of an inline object in base64, at most', limit.sealedInlineBytes],
    ['Frames of a detached object, at most', limit.bundleBytes],
    ['The line in front of a signed header, with its newline', signedHeader(Buffer.alloc(0)).length],
  ]
  return printTable(
    ['What', 'Number'],
    rows.map(([what, number]) => [
      what,
      number >= END_BIT && number % 2 ** 29 === 0 ? `2^${Math.log2(number)}` : group(number),
    ]),
  )
}

export function printSealFields(): string {
  const [end, goesOn] = [segmentTrailer.options[1], segmentTrailer.options[0]]
  const rows: readonly (readonly [string, z.ZodObject])[] = [
    ['sealed object, inline', sealedInline],
    ['sealed object, detached', sealedDetached],
    ['box', box],
    ['bound', bound],
    ['grant of pond custody', grant.options[0]],
    ['grant of client custody', grant.options[1]],
    ['segment header', segmentHeader],
    ['trailer of a segment', goesOn],
    ['trailer of the stream', end],
    ['DSSE', dsse],
    ['each of its `signatures`', dsse.shape.signatures.element],
  ]
  return printTable(
    ['Object', 'Fields'],
    rows.map(([what, object]) => [what, fieldsOf(object)]),
  )
}

export function printSealContexts(): string {
  return printTable(
    ['Kind', 'Fields', 'What is sealed for it'],
    context.options.map((one) => [code(one.shape.kind.value), fieldsOf(one), says[one.shape.kind.value]]),
  )
}

const says: Readonly<Record<z.infer<typeof context>['kind'], string>> = {
  credential: 'env values and files of a credential',
  bundle: 'the input archive of jobs',
  private: 'result, error text, events and names of artifacts of a confidential job',
  segment: 'a segment of its output or of an artifact',
}

export function printSealTypes(): string {
  const payload: Readonly<Record<keyof typeof payloadType, readonly [string, string]>> = {
    job: ["a job's exact bytes", 'a consumer'],
    sealed: ['a sealed object, canonical', 'the consumer whom its context names'],
    grant: ['a grant, canonical', 'pond'],
    rotation: ['new keys, canonical', 'the key that is replaced'],
    callKey: ['what a call key was agreed on, canonical', 'pond'],
    statement: ['an in-toto statement', 'a worker'],
  }
  return printTable(
    ['Type', 'payloadType', 'Payload', 'Signed by'],
    Object.entries(payload).map(([name, cells]) => [
      name,
      code(payloadType[name as keyof typeof payloadType]),
      ...cells,
    ]),
  )
}

export function printKeyTexts(): string {
  const key: Readonly<Record<keyof typeof keyPrefix, string>> = {
    recipient: 'X25519 key that something is sealed to',
    signer: 'Ed25519 key that signs jobs and envelopes',
  }
  return printTable(
    ['Prefix', 'Key'],
    Object.entries(key).map(([name, says]) => [code(keyPrefix[name as keyof typeof keyPrefix]), says]),
  )
}

function fieldsOf(object: z.ZodObject): string {
  return Object.entries(object.shape)
    .map(([name, field]) => code(name) + ((field as z.ZodType).safeParse(undefined).success ? '?' : ''))
    .join(' ')
}

const group = (number: number) => String(number).replace(/\B(?=(\d{3})+$)/g, ',')
