// Types the commands of a page's ```console blocks into one bash, as a reader would, and answers what each printed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

export interface Typed {
  readonly command: string
  readonly code: number
  /** stdout and stderr together. */
  readonly said: string
}

/** The lines behind `$ ` in the page's console blocks. */
export function commandsOf(page: string): readonly string[] {
  const blocks = [...page.matchAll(/^```console\n(.*?)^```$/gms)].map((match) => match[1] ?? '')
  return blocks
    .flatMap((block) => block.split('\n'))
    .filter((line) => line.startsWith('$ '))
    .map((line) => line.slice(2))
}

export function readPage(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** Runs the commands in a fresh home. A command that stays is waited for until it has said its first line. */
export async function typeAll(
  commands: readonly string[],
  place: { readonly folder: string; readonly cwd: string },
): Promise<readonly Typed[]> {
  const bash = spawn('bash', ['--noprofile', '--norc'], {
    cwd: join(root, place.cwd),
    env: { ...process.env, ...homes(place.folder), PATH: `${programs(place.folder)}:${process.env.PATH}` },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
  const typed: Typed[] = []
  try {
    for (const [index, command] of commands.entries()) typed.push(await typeOne(bash, command, `done-${index}`))
  } finally {
    // The group holds the programs in the background too.
    if (bash.pid !== undefined) process.kill(-bash.pid, 'SIGKILL')
    await once(bash, 'exit')
  }
  return typed
}

async function typeOne(bash: ChildProcess, command: string, mark: string): Promise<Typed> {
  const stays = command.endsWith('&')
  const wait = stays ? '\nread -r first < <(tail -n +1 -f "$SAID" --pid=$! 2>/dev/null); echo "$first"' : ''
  const line = stays
    ? `SAID=$(mktemp -p "$TMPDIR"); ${command.slice(0, -1)} > "$SAID" 2>&1 &`
    : `{ ${command}\n} 2>&1 < /dev/null`
  return await new Promise((resolve, reject) => {
    let said = ''
    const hear = (data: Buffer) => {
      said += data
      const found = new RegExp(`^${mark} (\\d+)\\n`, 'm').exec(said)
      if (!found) return
      bash.stdout?.off('data', hear)
      bash.off('exit', gone)
      resolve({ command, code: Number(found[1]), said: said.slice(0, found.index - 1) })
    }
    const gone = () => reject(new Error(`bash ended during: ${command}\n${said}`))
    bash.stdout?.on('data', hear)
    bash.once('exit', gone)
    bash.stdin?.write(`${line}${wait}\nprintf '\\n${mark} %d\\n' $?\n`)
  })
}

function homes(folder: string): Record<string, string> {
  const tmp = join(folder, 'tmp')
  mkdirSync(tmp, { recursive: true })
  return {
    TMPDIR: tmp,
    POND_DATA: join(folder, 'pond'),
    POND_HOME: join(folder, 'client'),
    SWARM_HOME: join(folder, 'swarm'),
    XDG_DATA_HOME: folder,
  }
}

/** A folder for PATH with `pond` and `swarm` as they were built. */
function programs(folder: string): string {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  for (const name of ['pond', 'swarm']) {
    const path = join(bin, name)
    writeFileSync(path, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'dist', 'bin', `${name}.js`)}" "$@"\n`)
    chmodSync(path, 0o755)
  }
  return bin
}
