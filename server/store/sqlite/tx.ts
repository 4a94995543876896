// The tx that a work is given: every statement of every noun, run through the work's scope.
import type { ReadTx, WriteTx } from '../contract.ts'
import type { Scope } from '../work.ts'
import { bindingReads, bindingWrites } from './binding.ts'
import { bundleReads, bundleWrites } from './bundle.ts'
import { claimReads, claimWrites } from './claim.ts'
import type { Connection } from './connection.ts'
import { credentialReads, credentialWrites } from './credential.ts'
import { deadReads } from './dead.ts'
import { dependencyReads, dependencyWrites } from './dependency.ts'
import { jobReads, jobWrites } from './job.ts'
import type { Lately } from './lately.ts'
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
  ...deadReads,
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
  readonly lately: Lately

  constructor(db: Connection, scope: Scope, lately: Lately) {
    super(db, scope)
    this.lately = lately
  }

  afterCommit(run: () => void): void {
    this.scope.effects.push(run)
  }
}

type Statement = (db: Connection, first: unknown, second: unknown) => unknown

function addMethods(to: { readonly prototype: Tx }, statements: object): void {
  for (const [name, statement] of Object.entries(statements) as [string, Statement][]) {
    const value = function (this: Tx, first: unknown, second: unknown) {
      return this.scope.run(() => statement(this.db, first, second))
    }
    Object.defineProperty(to.prototype, name, { value, configurable: true })
  }
}

addMethods(ReadingTx, reads)
addMethods(WritingTx, { ...reads, ...writes })

type WriteStatements = typeof reads & typeof writes

/** Statements of the writer that look into what it wrote lately, or note it. */
function through<K extends keyof WriteStatements & string>(
  name: K,
  act: (lately: Lately, values: ArgumentsOf<WriteStatements[K]>, run: () => ReturnType<WriteStatements[K]>) => unknown,
): void {
  const statement = { ...reads, ...writes }[name] as Statement
  const value = function (this: WritingTx, ...values: ArgumentsOf<WriteStatements[K]>) {
    const run = () => statement(this.db, values[0], values[1]) as ReturnType<WriteStatements[K]>
    return this.scope.run(() => act(this.lately, values, run))
  }
  Object.defineProperty(WritingTx.prototype, name, { value })
}

type ArgumentsOf<S> = S extends (db: Connection, ...values: infer Values) => unknown ? Values : never

through('getJob', (lately, [id], run) => lately.job(id) ?? run())
through('getSpec', (lately, [id], run) => lately.spec(id) ?? run())
through('getClaim', (lately, [id], run) => lately.claim(id) ?? run())
through('insertJob', (lately, [row, spec], run) => {
  run()
  lately.insertedJob(row, spec)
})
through('updateJob', (lately, [row], run) => {
  run()
  lately.updatedJob(row)
})
through('insertClaim', (lately, [row], run) => {
  run()
  lately.insertedClaim(row)
})
through('updateClaim', (lately, [row], run) => {
  run()
  lately.updatedClaim(row)
})
// Much goes with a job; it happens long after, to many at a time.
through('deleteJob', (lately, _, run) => {
  lately.forget()
  run()
})

export const readTx = (db: Connection, scope: Scope) => new ReadingTx(db, scope) as unknown as ReadTx
export const writeTx = (db: Connection, scope: Scope, lately: Lately) =>
  new WritingTx(db, scope, lately) as unknown as WriteTx
