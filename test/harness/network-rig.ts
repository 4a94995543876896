// A real pond and a real swarm with a NAT between them, and jobs whose every byte is known, for whoever breaks that network.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createNat, type Nat } from './nat.ts'
import { createRig, type Program, type Rig, runProgram, until } from './process-rig.ts'

export interface NetworkRig {
  readonly nat: Nat
  readonly rig: Rig
  swarm(): Program
  /** A verb of the consumer, which reaches pond past the NAT; answers what it printed. */
  pond(words: readonly string[], input?: string): Promise<string>
  /** Resolves once pond says that swarm is online and that a poll of its was completed after `since`; answers when that was noticed. */
  online(since: number): Promise<number>
  start(options: JobOptions): Promise<NetworkJob>
  close(): Promise<void>
}

export interface NetworkRigOptions {
  /** Of `pond serve`. */
  readonly flags: readonly string[]
}

export interface JobOptions {
  readonly name: string
  readonly sealed: boolean
  readonly artifactBytes: number
  /** Flags of `pond submit`. */
  readonly flags?: readonly string[]
}

/** A job that waits, prints while it is told to, and leaves an artifact and a result behind. It must not run twice. */
export interface NetworkJob {
  readonly id: string
  hasStarted(): boolean
  /** It prints from now on, until it is let go on. */
  talk(): void
  /** Lets it go on to its end. */
  letGo(): void
  /** True once its process has written all that it writes. */
  isDone(): boolean
  /** Waits for its end, and answers each broken promise in a sentence. */
  judge(): Promise<readonly string[]>
}

/**
 * `$AT` names its files here: what it wrote, and what it is told. Text, so that it can be compared as it is printed.
 * It talks at about 400 kB/s, which is more than a throttled line takes.
 */
const program = `
echo "$POND_JOB_ID $POND_ATTEMPT" >>"$AT.starts"
say() { base64 | tee -a "$AT.stdout"; }
echo ready | say
until [ -e "$AT.go" ]; do
  if [ -e "$AT.talk" ]; then head -c 15000 /dev/urandom | say; fi
  sleep 0.05
done
head -c "$ARTIFACT_BYTES" /dev/urandom | tee "$AT.artifact" >kept.bin
echo '{"well":true}' >"$POND_RESULT"
touch "$AT.done"
`

const SWARM_ENV = { SWARM_INSECURE_HTTP: '1' }

/** Both run, and a poll was answered. */
export async function createNetworkRig({ flags }: NetworkRigOptions): Promise<NetworkRig> {
  const nat = await createNat()
  const front = async (url: string) => `http://${nat.consumerAddress}:${new URL(url).port}`
  const rig = await createRig({ front, insecureHttp: true })
  const close = async () => {
    await rig.close()
    nat.close()
  }
  try {
    await rig.startPond({ flags: ['--host', '0.0.0.0', ...flags], under: nat.at('pond') })
    const url = `http://${nat.pondAddress}:${new URL(rig.origin()).port}`
    const options = { under: nat.at('worker'), env: SWARM_ENV }
    const home = await rig.pair('swarm', ['--slots', '2'], { url, ...options })
    const swarm = await rig.startSwarm(home, ['--allow-unsandboxed'], options)
    const online = (since: number) => onlineAgain(rig, since)
    await online(0)
    return { nat, rig, swarm: () => swarm, online, close, ...consumer(rig) }
  } catch (error) {
    await close()
    throw error
  }
}

function onlineAgain({ client }: Rig, since: number): Promise<number> {
  return until('a poll of swarm', async () => {
    const answer = await client.call('listBindings')
    const [binding] = answer.ok ? answer.reply.items : []
    return binding?.online && (binding.last_poll_at ?? 0) > since && Date.now()
  })
}

function consumer(rig: Rig): Pick<NetworkRig, 'pond' | 'start'> {
  const pond = async (words: readonly string[], input = '') => {
    const { code, stdout, stderr } = await runProgram('pond', words, { env: rig.env(), input })
    if (code !== 0) throw new Error(`pond ${words.join(' ')} ended with ${code}: ${stderr}`)
    return stdout
  }
  return { pond, start: (options) => startJob({ rig, pond }, options) }
}

async function startJob({ rig, pond }: Pick<NetworkRig, 'rig' | 'pond'>, options: JobOptions): Promise<NetworkJob> {
  const { name, sealed, artifactBytes, flags = [] } = options
  const at = join(rig.folder, name)
  const env = ['--env', `AT=${at}`, '--env', `ARTIFACT_BYTES=${artifactBytes}`]
  const words = [...(sealed ? [] : ['--plain']), ...flags, ...env, '--artifact', 'kept.bin', '--json']
  const { id } = JSON.parse(await pond(['submit', ...words, '--', 'sh', '-c', program]))
  const text = (end: string) => (existsSync(at + end) ? readFileSync(at + end, 'latin1') : '')
  return {
    id,
    hasStarted: () => existsSync(`${at}.stdout`),
    talk: () => writeFileSync(`${at}.talk`, ''),
    letGo: () => writeFileSync(`${at}.go`, ''),
    isDone: () => existsSync(`${at}.done`),
    judge: async () => {
      const { state, cause, rc, attempts } = await rig.ended(id)
      const end = `${state} ${cause} ${rc}, attempts: ${attempts}, starts: ${text('.starts').split('\n').length - 1}`
      if (end !== 'succeeded exit 0, attempts: 1, starts: 1') return [`${id} ended ${end}`]
      const kept = join(rig.folder, `${name}.kept`)
      await pond(['artifacts', 'get', id, '--out', kept])
      const pairs: readonly (readonly [string, string, string])[] = [
        ['stdout', await pond(['logs', id]), text('.stdout')],
        ['result', await pond(['result', id]), '{"well":true}\n'],
        ['artifact', readFileSync(join(kept, 'kept.bin'), 'latin1'), text('.artifact')],
      ]
      return pairs.flatMap(([what, got, wanted]) => {
        return sha256(got) === sha256(wanted) ? [] : [`${what} of ${id}: ${got.length} bytes, not the ${wanted.length}`]
      })
    },
  }
}

const sha256 = (text: string) => createHash('sha256').update(text, 'latin1').digest('hex')
