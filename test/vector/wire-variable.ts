// Variables of a recorded wire: values that are others each time (ids, tokens, codes) get names at their first appearance in a reply, and are filled in when played.
import type { BindingId } from '../../src/protocol/id.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { enrollmentMac } from '../../src/seal/enrollment.ts'
import { pairingMac, parsePairingCode } from '../../src/seal/pairing.ts'
import { createSigner } from '../../src/seal/signature.ts'

/** Printed codes, tokens, ids and lives of pond, as they stand in a text. */
const looksVariable =
  /(?<code>[0-9a-hjkmnp-tv-z]{26}\.[\w-]{22}\.[\w-]{22})|pond_(?<token>admin|key|bind|claim|bundle)_[\w-]{43}|(?<life>life)_[\w-]{11}|(?<id>prj|key|bnd|wrk|job|clm|cod|crd|req)_[0-9a-hjkmnp-tv-z]{26}/g
const named = /\{\{(\w+)\}\}/g

/** Name → value, and back. */
export class Variables {
  readonly #values = new Map<string, string>()
  readonly #names = new Map<string, string>()

  constructor(known: Readonly<Record<string, string>> = {}) {
    for (const [name, value] of Object.entries(known)) this.set(name, value)
  }

  set(name: string, value: string): void {
    this.#values.set(name, value)
    this.#names.set(value, name)
  }

  get = (name: string) => this.#values.get(name)

  all = () => Object.fromEntries(this.#values)

  /** The text with names for what is variable in it. Only `learn` gives new names: what a request brought first is the caller's own. */
  name(text: string, learn: boolean): string {
    return text.replace(looksVariable, (value, ...rest) => {
      const groups = rest.at(-1) as Record<string, string | undefined>
      const known = this.#names.get(value)
      if (known === undefined && !learn) return value
      const kind = groups.code ? 'code' : (groups.life ?? groups.id ?? `${groups.token}_token`)
      const name = known ?? `${kind}_${[...this.#values.keys()].filter((it) => it.startsWith(`${kind}_`)).length + 1}`
      if (known === undefined) this.set(name, value)
      return `{{${name}}}`
    })
  }

  /** Throws where a name has no value yet. */
  fill(text: string): string {
    return text.replace(named, (_, name: string) => {
      const value = this.#values.get(name)
      if (value === undefined) throw new Error(`no reply has told ${name} yet`)
      return value
    })
  }
}

/** A signed object whose payload is JSON, taken apart: it is signed anew when its variables are others. */
export interface SignedTemplate {
  readonly $dsse: { readonly type: string; readonly says: unknown; readonly keyid: string; readonly sig: string }
}

export const isTemplate = (it: unknown): it is SignedTemplate => isRecord(it) && '$dsse' in it

const isRecord = (it: unknown): it is Readonly<Record<string, unknown>> =>
  typeof it === 'object' && it !== null && !Array.isArray(it)

const isDsse = (it: unknown): it is Dsse => isRecord(it) && 'payloadType' in it && 'signatures' in it

/** Every text of a JSON value, and every signed object, through these hands. */
function walk(value: unknown, hands: { text(it: string): string; signed(it: object): unknown }): unknown {
  if (typeof value === 'string') return hands.text(value)
  if (Array.isArray(value)) return value.map((one) => walk(one, hands))
  if (!isRecord(value)) return value
  if (isDsse(value) || isTemplate(value)) return hands.signed(value)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [hands.text(key), walk(one, hands)]))
}

export function nameAll(value: unknown, variables: Variables, learn: boolean): unknown {
  const text = (it: string) => variables.name(it, learn)
  return walk(value, { text, signed: (it) => takeApart(it as Dsse, variables, learn) })
}

function takeApart(dsse: Dsse, variables: Variables, learn: boolean): SignedTemplate {
  const [signature] = dsse.signatures
  if (!signature) throw new Error('somebody signed it')
  const says = nameAll(JSON.parse(Buffer.from(dsse.payload, 'base64').toString()), variables, learn)
  return { $dsse: { type: dsse.payloadType, says, ...signature } }
}

/** `keys`: private halves by public key. What nobody here can sign keeps its signature, which is right as long as its variables are the recorded ones. */
export function fillAll(value: unknown, variables: Variables, keys: Readonly<Record<string, string>>): unknown {
  return walk(value, {
    text: (it) => variables.fill(it),
    signed(it) {
      const { type, says, keyid, sig } = (it as SignedTemplate).$dsse
      const payload = canonicalBytes(fillAll(says, variables, keys))
      const privateKey = keys[keyid]
      if (privateKey !== undefined) return signDsse(type, payload, createSigner({ publicKey: keyid, privateKey }))
      return { payloadType: type, payload: payload.toString('base64'), signatures: [{ keyid, sig }] }
    },
  })
}

/** MACs under a printed code cover what is variable, so they are made anew. A wrong one stays wrong. */
export function macOf(route: string, body: unknown, variables: Variables): string | undefined {
  if (!isRecord(body) || typeof body.mac !== 'string') return undefined
  const { mac: _mac, ...said } = body
  // The latest of each is meant: a story enrolls right after it has printed the code.
  const codes = Object.values(variables.all()).flatMap((text) => parsePairingCode(text) ?? [])
  if (route === 'pair') {
    const code = codes.find(({ id }) => id === said.code)
    return code && pairingMac(code.secret, said as unknown as Parameters<typeof pairingMac>[1])
  }
  const code = codes.at(-1)
  const bindingId = Object.entries(variables.all()).findLast(([name]) => name.startsWith('bnd_'))?.[1] as BindingId
  return code && enrollmentMac(code.secret, { ...code, codeId: code.id, bindingId, said: said as never })
}
