// The tx that a work is given: every statement of every noun, run through the work's scope.
import type { ReadTx, WriteTx } from '../contract.ts'
import type { Scope } from '../work.ts'
import { bindingReads, bindingWrites } from './binding.ts'
import { bundleReads, bundleWrites } from './bundle.ts'
import { claimReads, claimWrites } from './claim.ts'
import type { Connection } from './connection.ts'
import { credentialReads, credentialWrites } from './credential.ts'
import { dependencyReads, dependencyWrites } from './dependency.ts'
import { jobReads, jobWrites } from './job.ts'
import { projectReads, projectWrites } from './project.ts'
import { recordReads, recordWrites } from './record.ts'
import { stopReads, stopWrites } from './stop.ts'
import { useReads } from './use.ts'
import { workerReads, workerWrites } from './worker.ts'

/** The methods of `Tx` as plain functions of a connection. */
type Statements<Tx> = {
  readonly [K in keyof Tx]: Tx[K] extends (...values: infer Values) => Promise<infer Answer>
    ? (db: Connection, ...values: Values) => Answer
    : never
}

const reads: Statements<ReadTx> = {
  ...projectReads,
  ...bindingReads,
  ...workerReads,
  ...stopReads,
  ...jobReads,
  ...dependencyReads,
  ...claimReads,
  ...credentialReads,
  ...bundleReads,
  ...recordReads,
  ...useReads,
}

const writes: Statements<Omit<WriteTx, keyof ReadTx | 'afterCommit'>> = {
  ...projectWrites,
  ...bindingWrites,
  ...workerWrites,
  ...stopWrites,
  ...jobWrites,
  ...dependencyWrites,
  ...claimWrites,
  ...credentialWrites,
  ...bundleWrites,
  ...recordWrites,
}

/** Made once for each work, so it holds two fields and its methods stand on the prototype. */
class Tx {
  readonly db: Connection
  readonly scope: Scope

  constructor(db: Connection, scope: Scope) {
    this.db = db
    this.scope = scope
  }
}

class ReadingTx extends Tx {}

class WritingTx extends Tx {
  afterCommit(run: () => void): void {
    this.scope.effects.push(run)
  }
}

type Statement = (db: Connection, first: unknown, second: unknown) => unknown

function addMethods(to: typeof Tx, statements: object): void {
  for (const [name, statement] of Object.entries(statements) as [string, Statement][]) {
    const value = function (this: Tx, first: unknown, second: unknown) {
      return this.scope.run(() => statement(this.db, first, second))
    }
    Object.defineProperty(to.prototype, name, { value })
  }
}

addMethods(ReadingTx, reads)
addMethods(WritingTx, { ...reads, ...writes })

export const readTx = (db: Connection, scope: Scope) => new ReadingTx(db, scope) as unknown as ReadTx
export const writeTx = (db: Connection, scope: Scope) => new WritingTx(db, scope) as unknown as WriteTx
