// A pond, a swarm and a person's commands as real processes, all behind a wiretap, and every place where one of them could leave a secret.
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { listProcesses } from '../../src/executor/proc.ts'
import { type Canary, createCanary, type Hit, type Place, searchPlaces } from './canary.ts'
import {
  createRig,
  type Program,
  type ProgramOptions,
  type Rig,
  runProgram,
  startProgram,
  until,
} from './process-rig.ts'
import { tarOf } from './tar-writer.ts'
import { tapWire, type Wiretap } from './wiretap.ts'

const bundle = fileURLToPath(new URL('../system/fixture/canary-bundle', import.meta.url))

/** The bundle's own words: what each is said as, say.sh tells. */
const spoken = ['output', 'error', 'content', 'name', 'command', 'garbage', 'event', 'result'] as const

export interface Secrets {
  readonly canaries: readonly Canary[]
  /** A bundle with say.sh and leak.py. */
  readonly bundle: string
  /** Value of a credential's variable. */
  readonly value: string
  /** Files of a credential: one line, and a key of several. */
  readonly files: readonly string[]
}

/** Where a byte may come to rest, below the rig's folder. */
export interface Places {
  readonly data: Place
  readonly wire: Place
  readonly said: Place
  readonly argv: Place
  readonly home: Place
  readonly boxes: Place
  readonly client: Place
  readonly tmp: Place
  readonly dump: Place
}

export interface CanaryPool {
  readonly rig: Rig
  readonly places: Places
  /** A new set. Its files lie in a folder that is not searched: there their owner keeps them. */
  createSecrets(name: string): Secrets
  /** A folder for what its reader opened; it is not searched. */
  readonly opened: string
  startPond(options?: ProgramOptions): Promise<Program>
  /** Lets a program leave its core dump in its place, where this machine writes one into the folder of the process. */
  readonly dumping: ProgramOptions
  /** Posts its bundle as a plain tar and answers the digest. */
  postTar(secrets: Secrets): Promise<string>
  /** Resolves once the running job has written to stdout. */
  speaks(id: string): Promise<void>
  startSwarm(options?: ProgramOptions): Promise<Program>
  /** A person's command; what it prints is searched. Throws unless it ends well. */
  pond(words: readonly string[], options?: ProgramOptions): Promise<string>
  /** The same where it prints what only its reader may see. */
  read(words: readonly string[]): Promise<string>
  /** Hits by the name of the place. What programs printed and ran as so far is written down first. */
  search(canaries: readonly Canary[]): Promise<readonly (Hit & { readonly place: string })[]>
  /** What came to lie elsewhere on this machine since the pool was made. */
  searchOutside(canaries: readonly Canary[]): Promise<readonly Hit[]>
  /** Ends the wire and the watch. */
  close(): Promise<void>
}

/** Folders of the machine besides /tmp to which a program may have written. */
const shared = ['/var/lib/pond-swarm', '/var/tmp', '/dev/shm']

const temporary = () => readdirSync(tmpdir()).map((name) => join(tmpdir(), name))

/** Processes that live shorter than this may be missed; those of pond, swarm and the commands live longer. */
const WATCH_MS = 20

export async function createCanaryPool(): Promise<CanaryPool> {
  let tap: Wiretap | undefined
  const rig = await createRig({
    front: async (url) => {
      tap = await tapWire(url, places.wire)
      return tap.url
    },
  })
  const before = new Set(temporary())
  const at = (name: string) => join(rig.folder, name)
  // Jobs are users of their own and must reach their boxes, below folders of root.
  chmodSync(rig.folder, 0o711)
  const places = {
    ...{ data: rig.data, wire: at('wire'), said: at('said'), argv: at('argv'), home: at('home') },
    ...{ boxes: at('boxes'), client: at('client'), tmp: at('tmp'), dump: at('dump') },
  }
  for (const folder of [places.said, places.tmp, places.dump, at('source'), at('opened')]) mkdirSync(folder)
  const programs: Program[] = []
  const watch = watchArguments()
  const own = (options: ProgramOptions = {}) => ({ ...options, env: { TMPDIR: places.tmp, ...options.env } })
  const keep = (program: Program) => {
    programs.push(program)
    return program
  }
  const command = (options?: ProgramOptions) => own({ ...options, env: { ...rig.env(), ...options?.env } })

  return {
    rig,
    places,
    opened: at('opened'),
    createSecrets: (name) => writeSecrets(join(at('source'), name)),
    startPond: async (options) => keep(await rig.startPond(own(options))),
    dumping: { under: ['sh', '-c', 'ulimit -c "$(ulimit -H -c)"; cd "$0"; exec "$@"', places.dump] },
    postTar: (secrets) => postTar(rig, secrets),
    speaks: (id) => speaks(rig, id),
    async startSwarm(options = {}) {
      const flags = ['--slots', '8', '--boxes', places.boxes]
      return keep(
        await rig.startSwarm(places.home, flags, own({ ...options, env: { SWARM_SANDBOX: 'uid', ...options.env } })),
      )
    },
    async pond(words, options) {
      const program = keep(startProgram('pond', words, command(options)))
      const { code } = await program.exited
      if (code !== 0) throw new Error(`pond ${words[0]} ended with ${code}: ${program.stderr()}`)
      return program.stdout()
    },
    async read(words) {
      const { code, stdout, stderr } = await runProgram('pond', words, command())
      if (code !== 0) throw new Error(`pond ${words[0]} ended with ${code}: ${stderr}`)
      return stdout + stderr
    },
    async search(canaries) {
      for (const [index, program] of programs.entries())
        writeFileSync(join(places.said, `${index}`), program.stdout() + program.stderr())
      writeFileSync(places.argv, [...watch.seen].join('\n'))
      const hits = Object.entries(places).map(async ([place, where]) =>
        (await searchPlaces(canaries, [where])).map((hit) => ({ ...hit, place })),
      )
      return (await Promise.all(hits)).flat()
    },
    searchOutside: (canaries) =>
      searchPlaces(canaries, [...shared, ...temporary().filter((path) => !before.has(path))]),
    async close() {
      watch.stop()
      await tap?.close()
    },
  }
}

async function postTar(rig: Rig, { bundle }: Secrets): Promise<string> {
  const names = ['say.sh', ...readdirSync(join(bundle, 'secret')).map((name) => `secret/${name}`)]
  const files = names.map((name) => ({ name, body: readFileSync(join(bundle, name)) }))
  const body = tarOf({ name: 'secret/', type: '5', mode: 0o755 }, ...files)
  // Straight to pond and past the wiretap: who posts a plain tar has chosen that this one connection carries it.
  const reply = await fetch(`${rig.origin()}/v1/bundles`, { method: 'POST', headers: bearer(rig), body })
  return JSON.parse(await reply.text()).digest
}

/** Running is said before the process is there; its first output tells that it is. */
async function speaks(rig: Rig, id: string): Promise<void> {
  await rig.ended(id, ({ state }) => state === 'running')
  await until(`output of ${id}`, async () => {
    const reply = await fetch(`${rig.url()}/v1/jobs/${id}/streams/stdout?wait_ms=30000`, { headers: bearer(rig) })
    return (await reply.arrayBuffer()).byteLength > 0 && reply.ok
  })
}

const bearer = (rig: Rig) => ({ authorization: `Bearer ${rig.token()}` })

/** Arguments of every process of this machine. */
function watchArguments() {
  const seen = new Set<string>()
  const timer = setInterval(() => {
    for (const { pid } of listProcesses()) {
      try {
        seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      } catch {
        // It ended between the list and this look.
      }
    }
  }, WATCH_MS)
  return { seen, stop: () => clearInterval(timer) }
}

function writeSecrets(folder: string): Secrets {
  const [value, token, first, second] = ['value', 'token', 'first', 'second'].map(createCanary)
  if (!value || !token || !first || !second) throw new Error('four names make four canaries')
  const words = new Map(spoken.map((name) => [name, createCanary(name)]))
  cpSync(bundle, join(folder, 'bundle'), { recursive: true })
  mkdirSync(join(folder, 'bundle', 'secret'))
  for (const [name, canary] of words) writeFileSync(join(folder, 'bundle', 'secret', name), spell(name, canary.value))
  const files = [join(folder, 'token'), join(folder, 'key')] as const
  writeFileSync(files[0], token.value)
  writeFileSync(files[1], `-----BEGIN KEY-----\n${first.value}\n${second.value}\n-----END KEY-----\n`)
  return {
    canaries: [value, token, first, second, ...words.values()],
    bundle: join(folder, 'bundle'),
    value: value.value,
    files,
  }
}

/** As say.sh puts it to where it goes. Names of files end without a line end. */
function spell(name: (typeof spoken)[number], value: string): string {
  if (name === 'event') return `${JSON.stringify({ type: 'progress', data: { text: value } })}\n`
  if (name === 'result') return JSON.stringify({ [value]: value })
  return name === 'name' || name === 'command' ? value : `${value}\n`
}
