// The signature of a call, by RFC 9421 (HTTP Message Signatures): how it is made and how it is judged. With the binding key, or with a call key that was
// agreed under it. Pure: time and randomness come in.
import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { limit } from '../protocol/limit.ts'
import { BODY_MAC, macOfBody } from './body-mac.ts'
import type { CallKey } from './call-key.ts'
import type { KeyPair } from './key.ts'
import { createSigner, isSignedBy } from './signature.ts'

/** A call as it travels, on either side. */
export interface SignableCall {
  readonly method: string
  /** Below pond's base URL, percent-encoded as it was sent, without the query. */
  readonly path: string
  /** The query as it was sent, with its question mark; empty for none. */
  readonly search: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body?: Uint8Array | undefined
}

export interface Freshness {
  /** Wall time in milliseconds, by pond's clock. */
  readonly createdMs: number
  /** 16 random bytes. */
  readonly nonce: Uint8Array
}

/** The headers that a signed call carries beside its own. What `lasts` beyond a call key's life is signed with the binding key itself. */
export type SignCall = (call: SignableCall, fresh: Freshness, lasts?: boolean) => Readonly<Record<string, string>>

/** `nowMs`: wall time of pond. */
export type VerifyCall = (call: SignableCall, nowMs: number) => boolean

/** For one pond, by the hash of its key as the pairing code holds it. */
export function createCallSigner(pair: KeyPair, pondKeyHash: Uint8Array): SignCall {
  const { sign } = createSigner(pair)
  return signerFor({ keyId: pair.publicKey, alg: 'ed25519', sign }, pondKeyHash)
}

/** The same with a call key, at a tenth of the price; of a long body, where pond takes it, at a sixth. */
export function createMacSigner({ id, secret, macsBodies }: CallKey, pondKeyHash: Uint8Array): SignCall {
  const key = createSecretKey(secret)
  const bodyKey = macsBodies ? key : undefined
  return signerFor({ keyId: id, alg: 'hmac-sha256', bodyKey, sign: (base) => macOf(key, base) }, pondKeyHash)
}

/** For one key at one pond. */
export function createCallVerifier(publicKey: string, pondKeyHash: Uint8Array): VerifyCall {
  const isGood: Checking['isGood'] = (base, signature) => isSignedBy(publicKey, base, signature)
  return verifierFor({ keyId: publicKey, alg: 'ed25519', isGood }, pondKeyHash)
}

export function createMacVerifier({ id, secret }: Pick<CallKey, 'id' | 'secret'>, pondKeyHash: Uint8Array): VerifyCall {
  const bodyKey = createSecretKey(secret)
  const isGood: Checking['isGood'] = (base, mac) => isSame(mac, macOf(bodyKey, base))
  return verifierFor({ keyId: id, alg: 'hmac-sha256', bodyKey, isGood }, pondKeyHash)
}

/** The key that a call says it is signed with; nothing is proved by that. */
export function keyIdOf({ headers }: SignableCall): string | undefined {
  return keyId.exec(headers['signature-input'] ?? '')?.[1]
}

interface Proof {
  readonly keyId: string
  readonly alg: 'ed25519' | 'hmac-sha256'
  /** For MACs of bodies in place of their digests; the other kind of proof knows none. */
  readonly bodyKey?: KeyObject | undefined
}

interface Signing extends Proof {
  readonly sign: (base: Buffer) => Buffer
}

interface Checking extends Proof {
  readonly isGood: (base: Buffer, signature: Buffer) => boolean
}

const macOf = (key: KeyObject, base: Buffer) => createHmac('sha256', key).update(base).digest()
const isSame = (one: Buffer, other: Buffer) => one.length === other.length && timingSafeEqual(one, other)
/** Shorter bodies are hashed sooner than the key of their MAC is made. */
const MAC_FROM_BYTES = 16 * 1024

function signerFor(proof: Signing, pondKeyHash: Uint8Array): SignCall {
  const pondId = base64url(pondKeyHash)
  return (call, { createdMs, nonce }) => {
    const hasMac = proof.bodyKey && call.body && call.body.length >= MAC_FROM_BYTES
    const bare = withHeaders(call, { 'pond-id': pondId, ...(hasMac && { 'content-mac': '' }) })
    const created = `${Math.floor(createdMs / 1000)}`
    const params = paramsOf(bare, proof, { created, nonce: base64url(nonce) })
    const own = { 'pond-id': pondId, ...bodyHeader(bare, params, proof.bodyKey) }
    const signature = proof.sign(Buffer.from(baseOf(withHeaders(call, own), params)))
    return { 'signature-input': `${LABEL}=${params}`, signature: printSignature(signature), ...own }
  }
}

/**
 * There is one form of a signature: what the parameters must be for this very call is printed again and compared, so nothing can be left out, added or put
 * in another order.
 */
function verifierFor(proof: Checking, pondKeyHash: Uint8Array): VerifyCall {
  const pondId = base64url(pondKeyHash)
  return (call, nowMs) => {
    const { 'signature-input': input = '', signature: printed = '', 'pond-id': named } = call.headers
    const [, created = '', nonce = ''] = freshness.exec(input) ?? []
    const params = paramsOf(call, proof, { created, nonce })
    if (input !== `${LABEL}=${params}` || named !== pondId) return false
    if (Math.abs(Number(created) * 1000 - nowMs) > limit.signatureSkewMs) return false
    const signature = Buffer.from(printed.slice(LABEL.length + 2, -1), 'base64')
    if (printed !== printSignature(signature) || !proof.isGood(Buffer.from(baseOf(call, params)), signature))
      return false
    return isBodyGood(call, params, proof.bodyKey)
  }
}

const LABEL = 'pond'
const freshness = /;created=([0-9]{1,12});nonce="([A-Za-z0-9_-]{22})"/
const keyId = /;keyid="([A-Za-z0-9_-]{1,64})"/

interface Params {
  /** In whole seconds. */
  readonly created: string
  readonly nonce: string
}

/** What is covered is no choice of the signer: all that says what the call does, as far as the call has it. */
function coveredOf({ headers, body }: SignableCall): readonly string[] {
  const optional = ['content-encoding', 'x-claim-token'].filter((name) => headers[name] !== undefined)
  const ofBody = headers['content-mac'] === undefined ? 'content-digest' : 'content-mac'
  return ['@method', '@path', '@query', 'pond-id', ...(hasBytes(body) ? [ofBody] : []), ...optional]
}

function paramsOf(call: SignableCall, { keyId, alg }: Proof, { created, nonce }: Params): string {
  const names = coveredOf(call).map((name) => `"${name}"`)
  return `(${names.join(' ')});created=${created};nonce="${nonce}";keyid="${keyId}";alg="${alg}";tag="${LABEL}"`
}

/** The signature base of RFC 9421, section 2.5. */
function baseOf(call: SignableCall, params: string): string {
  const lines = coveredOf(call).map((name) => `"${name}": ${componentOf(call, name)}\n`)
  return `${lines.join('')}"@signature-params": ${params}`
}

function componentOf({ method, path, search, headers }: SignableCall, name: string): string {
  switch (name) {
    case '@method':
      return method
    case '@path':
      return path
    case '@query':
      return search === '' ? '?' : search
    default:
      return headers[name] ?? ''
  }
}

/** What a call says of its bytes; nothing where there are none. */
function bodyHeader(call: SignableCall, params: string, key: KeyObject | undefined): Record<string, string> {
  const { headers, body } = call
  if (!hasBytes(body)) return {}
  if (headers['content-mac'] !== undefined && key) return { 'content-mac': printMac(call, body, { params, key }) }
  return { 'content-digest': `sha-256=:${hash('sha256', body, 'base64')}:` }
}

/** One of the two, and nothing but what it is of. */
function isBodyGood(call: SignableCall, params: string, key: KeyObject | undefined): boolean {
  const expected = bodyHeader(call, params, key)
  return ['content-digest', 'content-mac'].every((name) => {
    const [told, due] = [call.headers[name], expected[name]]
    if (told === undefined || due === undefined) return told === due
    // The MAC that another body would have had may not be learned from how long this takes.
    return isSame(Buffer.from(told), Buffer.from(due))
  })
}

function printMac(
  call: SignableCall,
  body: Uint8Array,
  { params, key }: { readonly params: string; readonly key: KeyObject },
): string {
  const base = baseOf(withHeaders(call, { 'content-mac': '' }), params)
  return `${BODY_MAC}=:${macOfBody(key, base, body).toString('base64')}:`
}

const withHeaders = (call: SignableCall, more: SignableCall['headers']): SignableCall => ({
  ...call,
  headers: Object.assign({}, call.headers, more),
})

const hasBytes = (body: Uint8Array | undefined): body is Uint8Array => body !== undefined && body.length > 0

const printSignature = (bytes: Buffer) => `${LABEL}=:${bytes.toString('base64')}:`

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
