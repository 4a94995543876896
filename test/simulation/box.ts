// The folder of a simulated process, on the real disk: made with what its bundle puts there, and holding what the process leaves.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface Box {
  /** Where the process starts; empty at first. */
  readonly work: string
  leave(files: ReadonlyMap<string, Buffer>): void
  remove(): void
}

let root: string | undefined

/** Those whose swarm died lie there until the end of the run. What it had open then Node closes by itself, and says so. */
function makeRoot(): string {
  const made = mkdtempSync(join(tmpdir(), 'pond-simulation-'))
  process.once('exit', () => rmSync(made, { recursive: true }))
  return made
}

export function makeBox(): Box {
  root ??= makeRoot()
  const folder = mkdtempSync(join(root, 'box-'))
  const work = join(folder, 'work')
  mkdirSync(work)
  return {
    work,
    leave(files) {
      for (const [path, bytes] of files) {
        mkdirSync(join(work, dirname(path)), { recursive: true })
        writeFileSync(join(work, path), bytes)
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
