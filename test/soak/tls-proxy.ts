// A pond behind a proxy that ends TLS and cuts what is idle: jobs go through all the time, and swarm learns to be back before the cut.
import { createRig, type Rig, runProgram, until } from '../harness/process-rig.ts'
import { freePort, startTlsProxy, type TlsProxy } from '../harness/tls-proxy.ts'
import type { RoundReport } from './run.ts'

/** Fewer than it takes until a longer hold is tried. */
const WHOLE_POLLS = 2

export interface ProxyRun {
  readonly idleSeconds: number
  /** One after another, each after a pause in which the proxy may cut. */
  readonly jobs: number
}

export interface ProxyReport extends RoundReport {
  readonly idleSeconds: number
  /** Polls that the proxy cut. */
  readonly cuts: number
  /** What swarm asks for afterwards. */
  readonly holdMs: number
}

export async function runProxy({ idleSeconds, jobs }: ProxyRun): Promise<ProxyReport> {
  const rig = await createRig()
  try {
    await rig.startPond({ flags: ['--behind-proxy', '127.0.0.1/32'] })
    const proxy = await startTlsProxy({ target: rig.url(), port: await freePort(), idleSeconds })
    try {
      const options = { env: proxy.env }
      const home = await rig.pair('behind', ['--slots', '2'], { url: proxy.url, ...options })
      await rig.startSwarm(home, [], options)
      const faults: string[] = []
      for (let job = 0; job < jobs; job++)
        faults.push(...(await goThrough(rig, { proxy, sleepSeconds: idleSeconds + 2 })))
      const holdMs = await until('a hold below the cut', async () => {
        const { hold_ms } = JSON.parse((await runProgram('swarm', ['status', '--home', home, '--json'])).stdout)
        return hold_ms < idleSeconds * 1000 && hold_ms
      })
      const cuts = rig.logged('poll_failed').length
      await wholePolls(rig)
      if (rig.logged('poll_failed').length > cuts) faults.push(`a poll of ${holdMs} ms was cut`)
      return { idleSeconds, cuts, holdMs, faults: [...faults, ...(await goThrough(rig, { proxy, sleepSeconds: 0 }))] }
    } finally {
      await proxy.close()
    }
  } finally {
    await rig.close()
  }
}

interface Passage {
  readonly proxy: TlsProxy
  /** How long the job and whoever waits for it are silent. */
  readonly sleepSeconds: number
}

/** A person's job, all of whose calls pass the proxy too. */
async function goThrough(rig: Rig, { proxy, sleepSeconds }: Passage): Promise<readonly string[]> {
  const env = { ...rig.env(), POND_URL: proxy.url, ...proxy.env }
  const script = `sleep ${sleepSeconds}; echo "$POND_ATTEMPT"; exit 3`
  const { code, stdout, stderr } = await runProgram('pond', ['run', '--plain', '--', 'sh', '-c', script], { env })
  return code === 3 && stdout === '1\n' ? [] : [`a job ended with ${code} and said ${stdout}: ${stderr}`]
}

/** Some polls were held to their end and answered. */
async function wholePolls({ client }: Rig): Promise<void> {
  const seen = new Set<number | undefined>()
  await until('polls that end by themselves', async () => {
    const answer = await client.call('listBindings')
    if (answer.ok) seen.add(answer.reply.items[0]?.last_poll_at)
    return seen.size > WHOLE_POLLS
  })
}
