// A pond behind a proxy that ends TLS and cuts what is idle: jobs go through all the time, by machine and by consumer.
import { createRig, type Rig, runProgram, until } from '../harness/process-rig.ts'
import { freePort, startTlsProxy, type TlsProxy } from '../harness/tls-proxy.ts'
import type { RoundReport } from './run.ts'

export interface ProxyRun {
  readonly idleSeconds: number
  /** One after another, each after a pause in which the proxy may cut. */
  readonly jobs: number
}

export interface ProxyReport extends RoundReport {
  readonly idleSeconds: number
  /** Polls that the proxy cut. */
  readonly cuts: number
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
      const cuts = () => rig.logged('poll_failed').length
      await until('a cut', () => cuts() > 0)
      faults.push(...(await goThrough(rig, { proxy, sleepSeconds: 0 })))
      return { idleSeconds, cuts: cuts(), faults }
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
