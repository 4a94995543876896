// The disk that jobs may ask for as `requires.disk_bytes`: how much of it is offered, so that no two of them count on the same bytes. Measures nothing itself.
import type { Gate } from './gate.ts'
import type { Holding } from './holding.ts'

/** Bytes that pond may lease in all; undefined where the disk cannot be asked. */
export type DiskOffer = () => number | undefined

export interface DiskOfferParts {
  /** What the owner gives; absent: what is free. */
  readonly most?: number | undefined
  readonly gate: Pick<Gate, 'spareDisk'>
  readonly holding: Pick<Holding, 'diskBytes'>
}

/**
 * What was free when no job held any of it is the whole, and never more is promised: how much a job has written of its part is not known, so what is free
 * while it runs could be the rest of its own. What others take meanwhile shows once less is free than the whole without all that is promised; then less is offered.
 */
export function createDiskOffer({ most = Number.MAX_SAFE_INTEGER, gate, holding }: DiskOfferParts): DiskOffer {
  let whole = 0
  return () => {
    const spare = gate.spareDisk()
    if (spare === undefined) return undefined
    const held = holding.diskBytes()
    if (held === 0) whole = spare
    return Math.min(most, whole, spare + held)
  }
}
