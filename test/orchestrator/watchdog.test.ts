// What a service manager hears: ready once, how it fares, a sign of life as long as the poll loop turns, and that it stops.
import t from 'tap'
import type { SwarmStatus } from '../../src/orchestrator/status.ts'
import { startWatchdog } from '../../src/orchestrator/watchdog.ts'
import { silentLog } from '../../src/system/log.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

t.test('ready, alive while polls go on also without pond, and stopping', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const { swarm } = await start()
  const told: (readonly string[])[] = []
  const notify = async (facts: readonly string[]) => told.push(facts) > 0
  const stop = startWatchdog({ clock, log: silentLog, swarm, notify, watchdogMs: 30_000 })
  await clock.advance(1000)
  t.match(told, [['READY=1', /^STATUS=ready.*polled never/, 'WATCHDOG=1']])
  pond.fault = () => refusal('unreachable')
  await clock.advance(300_000)
  t.equal(told.length, 21, 'twice a period, as a restart brings no pond back')
  t.match(told.at(-1), [/^STATUS=ready, pond does not answer/, 'WATCHDOG=1'])
  swarm.drain({ deadlineMs: 60_000 })
  await clock.advance(1000)
  t.match(told.at(-1)?.[0], 'STOPPING=1')
  stop()
  const count = told.length
  await clock.advance(60_000)
  t.equal(told.length, count)
})

t.test('a loop that is stuck gives no sign of life; nobody to tell is warned of once', async (t) => {
  const clock = createVirtualClock()
  let turning = true
  let warnings = 0
  const told: (readonly string[])[] = []
  const swarm = {
    status: () => ({ state: 'ready', claims: [], healthy: true }) as unknown as SwarmStatus,
    health: () => ({ ok: true, missed_holds: 0, turning }),
  }
  const notify = async (facts: readonly string[]) => told.push(facts) === 0
  startWatchdog({ clock, swarm, notify, watchdogMs: 10_000, log: { ...silentLog, warn: () => void warnings++ } })
  await clock.advance(20_000)
  const count = told.length
  t.ok(count >= 3)
  turning = false
  await clock.advance(60_000)
  t.equal(told.length, count)
  t.equal(warnings, 1)
})
