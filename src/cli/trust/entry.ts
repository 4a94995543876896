// What is trusted here as a list, to be shown and to be taken out of.
import { fingerprint } from '../../seal/fingerprint.ts'
import { parseKey } from '../../seal/key-text.ts'
import { Failure } from '../failure.ts'
import { pondFingerprint } from './pond-key.ts'
import type { Trust } from './store.ts'
import { printOf } from './worker.ts'

export const trustKinds = ['pond', 'worker', 'recipients'] as const
export type TrustKind = (typeof trustKinds)[number]

export interface TrustEntry {
  readonly kind: TrustKind
  /** Of a worker its id, of recipients their project, of a pond nothing. */
  readonly id: string
  readonly name: string
  readonly pond: string
  readonly fingerprints: readonly string[]
  /** Of keys that a worker replaced since. */
  readonly former: readonly string[]
  /** A person compared it. */
  readonly checked: boolean
  /** Under which it is stored. */
  readonly key: string
}

export function entriesOf({ ponds, workers, recipients }: Trust): readonly TrustEntry[] {
  const common = { id: '', name: '', checked: false, former: [] }
  return [
    ...Object.entries(ponds).map(([url, keys]) => {
      return { ...common, kind: 'pond' as const, pond: url, fingerprints: [pondFingerprint(keys)], key: url }
    }),
    ...Object.entries(workers).map(([key, worker]) => {
      const { id, name, pond, checked } = worker
      const former = worker.former.map(printOf)
      return { kind: 'worker' as const, id, name, pond, fingerprints: [printOf(worker)], former, checked, key }
    }),
    ...Object.entries(recipients).map(([key, texts]) => {
      const [pond = '', ...project] = key.split(' ')
      const name = project.join(' ')
      return { ...common, kind: 'recipients' as const, id: name, name, pond, fingerprints: texts.map(shortKey), key }
    }),
  ]
}

export function shortKey(text: string): string {
  const key = parseKey('recipient', text)
  return key === undefined ? text : fingerprint(key)
}

/** The one entry of a kind that is called so, by id, name, URL or fingerprint. */
export function findEntry(trust: Trust, kind: TrustKind, what: string): TrustEntry {
  const found = entriesOf(trust).filter(
    (it) =>
      it.kind === kind &&
      ([it.id, it.name].includes(what) || [...it.fingerprints, ...it.former].includes(what) || it.key === what),
  )
  if (found.length === 1 && found[0]) return found[0]
  throw new Failure({
    what: `${found.length === 0 ? 'nothing' : `${found.length} of what`} that is trusted here is called ${what}`,
    next: found.length === 0 ? 'List it: pond trust ls.' : 'Give its fingerprint: pond trust ls.',
    exit: found.length === 0 ? 'failed' : 'usage',
  })
}

export function withoutEntry(trust: Trust, { kind, key }: TrustEntry): Trust {
  const table = { pond: 'ponds', worker: 'workers', recipients: 'recipients' } as const
  const { [key]: _, ...rest } = trust[table[kind]]
  return { ...trust, [table[kind]]: rest }
}
