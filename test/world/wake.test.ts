// Waking: a stopped process, a real suspend and a clock that somebody set are noticed before anything else runs; a busy second is none of them.
import t from 'tap'
import { createWake } from '../../src/system/wake.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

function awake() {
  const clock = createVirtualClock()
  const wake = createWake(clock)
  const told: (string | number)[] = []
  const stop = wake.start(({ sleptMs }) => told.push(Math.round(sleptMs / 1000)))
  return { clock, wake, told, stop }
}

t.test('a stopped process: the sleep is noticed before a timer that was due in it, and told once', async (t) => {
  const { clock, wake, told } = awake()
  wake.clock.after(10_000, () => told.push('timer'))
  await clock.advance(5500)
  clock.jump(3_600_000)
  await clock.advance(100)
  t.strictSame(told, [3601, 'timer'], 'with the second that it was awake before')
  await clock.advance(60_000)
  t.strictSame(told, [3601, 'timer'])
  t.equal(wake.count(), 1)
})

t.test(
  'a suspend: what is measured stood still, and the next timer or answer finds the wall clock ahead',
  async (t) => {
    const { clock, wake, told } = awake()
    wake.clock.after(3500, () => told.push('timer'))
    await clock.advance(3000)
    clock.setBack(-900_000)
    wake.look()
    t.strictSame(told, [900], 'an answer looks before it is used')
    clock.setBack(-900_000)
    t.equal(wake.count(), 2, 'who counts looks as well')
    await clock.advance(1000)
    t.strictSame(told, [900, 900, 'timer'])
  },
)

t.test('a clock that was set back is told, as no sleep; one that is corrected a little is not', async (t) => {
  const { clock, told } = awake()
  clock.setBack(3_600_000)
  await clock.advance(2000)
  t.strictSame(told, [0])
  for (const stepMs of [4000, -4000, 4000, -4000]) {
    clock.setBack(stepMs)
    await clock.advance(2000)
  }
  t.strictSame(told, [0])
})

t.test('a busy machine is not asleep', async (t) => {
  const { clock, told } = awake()
  for (let count = 0; count < 20; count++) {
    clock.jump(4900)
    await clock.advance(1000)
  }
  t.strictSame(told, [])
})

t.test('nothing is told before it is started or behind its end, and no timer stays', async (t) => {
  const clock = createVirtualClock()
  const wake = createWake(clock)
  wake.look()
  clock.jump(60_000)
  wake.look()
  const stop = wake.start(() => t.fail('it told'))
  wake.look()
  stop()
  clock.jump(60_000)
  wake.look()
  t.equal(clock.pending(), 0)
  t.equal(wake.count(), 0)
})
