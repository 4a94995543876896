// What a service manager hears: ready once, how it fares, a sign of life as long as the poll loop turns, and that it stops.
import t from 'tap'
import type { Notified, Notify } from '../../src/executor/notify.ts'
import type { SwarmStatus } from '../../src/orchestrator/status.ts'
import { startWatchdog } from '../../src/orchestrator/watchdog.ts'
import { silentLog } from '../../src/system/log.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

t.test('ready, alive while polls go on also without pond, and stopping only when no job is left', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.onTerminate = () => {}
  const { swarm } = await start()
  const told: (readonly string[])[] = []
  const notify: Notify = async (facts) => {
    told.push(facts)
    return 'heard'
  }
  const watchdog = startWatchdog({ clock, log: silentLog, swarm, notify, watchdogMs: 30_000 })
  await clock.advance(1000)
  t.match(told, [['READY=1', /^STATUS=ready.*polled never/, 'WATCHDOG=1']])
  pond.give({ idempotent: true })
  await clock.advance(1000)
  pond.fault = () => refusal('unreachable')
  await clock.advance(299_000)
  t.equal(told.length, 21, 'twice a period, as a restart brings no pond back')
  t.match(told.at(-1), [/^STATUS=ready, pond does not answer/, 'WATCHDOG=1'])
  pond.fault = () => undefined
  swarm.drain({ deadlineMs: 3_600_000 })
  await clock.advance(300_000)
  t.match(told.at(-1), [/^STATUS=draining; 1 jobs/, 'WATCHDOG=1'])
  t.notOk(told.flat().includes('STOPPING=1'), 'the service manager would kill the job when its patience is over')
  executor.processes[0]?.exit()
  await clock.advance(2000)
  await watchdog.close()
  t.match(told.at(-1), ['STOPPING=1', /^STATUS=(draining|ended); 0 jobs/])
  t.equal(told.flat().filter((fact) => fact === 'STOPPING=1').length, 1)
  const count = told.length
  await clock.advance(60_000)
  t.equal(told.length, count)
})

function setUp(watchdogMs: number) {
  const clock = createVirtualClock()
  const now = { state: 'ready', turning: true, outcome: 'heard' as Notified, tries: 0 }
  const heard: string[] = []
  const warnings: string[] = []
  const swarm = {
    status: () => ({ state: now.state, claims: [], healthy: true }) as unknown as SwarmStatus,
    health: () => ({ ok: true, missed_holds: 0, turning: now.turning }),
  }
  const notify: Notify = async (facts) => {
    now.tries++
    const said = facts.filter((fact) => !fact.startsWith('STATUS=')).join(' ')
    if (now.outcome === 'heard') heard.push(`${Math.round(clock.monotonic() / 1000)} s ${said}`)
    return now.outcome
  }
  const log = { ...silentLog, warn: (event: string) => void warnings.push(event) }
  const watchdog = startWatchdog({ clock, swarm, notify, watchdogMs, log })
  return { clock, now, heard, warnings, watchdog }
}

t.test('what was not heard is told again a second later', async (t) => {
  const { clock, now, heard, warnings, watchdog } = setUp(60_000)
  now.outcome = 'unheard'
  await clock.advance(3000)
  now.outcome = 'heard'
  await clock.advance(30_000)
  now.outcome = 'unheard'
  await clock.advance(3000)
  now.outcome = 'heard'
  await clock.advance(2000)
  t.strictSame(heard, ['4 s READY=1 WATCHDOG=1', '37 s WATCHDOG=1'])
  now.state = 'ended'
  await watchdog.close()
  t.equal(heard.at(-1), '38 s STOPPING=1 WATCHDOG=1', 'also when it ends between two looks')
  t.strictSame(warnings, ['notify_failed'], 'once')
})

t.test('where there is no program to tell it with, that is tried once and said once', async (t) => {
  const { clock, now, warnings, watchdog } = setUp(10_000)
  now.outcome = 'absent'
  await clock.advance(60_000)
  now.state = 'ended'
  await watchdog.close()
  t.equal(now.tries, 1)
  t.strictSame(warnings, ['notify_failed'])
})

t.test('a loop that is stuck gives no sign of life', async (t) => {
  const { clock, now, heard } = setUp(10_000)
  await clock.advance(20_000)
  const count = heard.length
  t.ok(count >= 3)
  now.turning = false
  await clock.advance(60_000)
  t.equal(heard.length, count)
})
