// What a machine tells of itself, read from folders as Linux has them: laptops with and without their plug, mice with batteries, terminals.
import { mkdirSync, mkdtempSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { createMachine } from '../../src/system/machine.ts'

const NOW = Date.UTC(2026, 10, 22)

function machineOf(_: Test, files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'machine-'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), `${text}\n`)
  }
  return { root, machine: createMachine({ now: () => NOW, root, load: () => 0 }) }
}

const supply = (name: string, facts: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(facts).map(([file, text]) => [`sys/class/power_supply/${name}/${file}`, text]))
const battery = (status: string) => supply('BAT0', { type: 'Battery', status })
const plug = (online: string) => supply('AC', { type: 'Mains', online })

t.test('a laptop on its plug and on battery; one that tells no plug is judged by its battery', async (t) => {
  const onMains = async (files: Record<string, string>) => (await machineOf(t, files).machine.facts()).onMains
  t.equal(await onMains({ ...battery('Full'), ...plug('1') }), true)
  t.equal(await onMains({ ...battery('Discharging'), ...plug('0') }), false)
  t.equal(await onMains({ ...battery('Full'), ...plug('0') }), false, 'pulled a moment ago')
  t.equal(await onMains(battery('Discharging')), false)
  t.equal(await onMains(battery('Charging')), true)
  t.equal(await onMains({ ...battery('Discharging'), ...supply('usb', { type: 'USB', online: '1' }) }), true)
})

t.test('a machine without a battery is on mains and no laptop; the battery of a mouse makes it none', async (t) => {
  for (const files of [
    { 'sys/class/power_supply/README': '' },
    supply('hid', { type: 'Battery', scope: 'Device', status: 'Discharging' }),
  ]) {
    const { machine } = machineOf(t, files)
    t.equal(await machine.hasBattery(), false)
    t.equal((await machine.facts()).onMains, true)
  }
  t.equal(await machineOf(t, battery('Full')).machine.hasBattery(), true)
})

t.test('what cannot be read is not told, and never taken for good', async (t) => {
  const { machine } = machineOf(t, {})
  t.match(await machine.facts(), { onMains: undefined, idleMs: undefined })
  t.equal(await machine.hasBattery(), false)
})

t.test('idle since somebody last typed at any terminal; without one nobody is there', async (t) => {
  t.equal((await machineOf(t, { 'dev/null': '' }).machine.facts()).idleMs, Number.POSITIVE_INFINITY)
  const { root, machine } = machineOf(t, { 'dev/pts/0': '', 'dev/pts/ptmx': '', 'dev/tty1': '', 'dev/tty': '' })
  const typed = { 'dev/pts/0': 600_000, 'dev/tty1': 900_000, 'dev/pts/ptmx': 0, 'dev/tty': 0 }
  for (const [path, agoMs] of Object.entries(typed)) utimesSync(join(root, path), (NOW - agoMs) / 1000, NOW / 1000)
  t.equal((await machine.facts()).idleMs, 600_000)
})

t.test('free memory is what the kernel calls available', async (t) => {
  const meminfo = 'MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\nBuffers: 3 kB'
  t.equal((await machineOf(t, { 'proc/meminfo': meminfo }).machine.facts()).freeMemoryBytes, 2048 * 1024)
  t.ok(((await machineOf(t, {}).machine.facts()).freeMemoryBytes ?? 0) > 0, 'where it is not told, what Node says')
})

t.test('the real machine tells what any has', async (t) => {
  const facts = await createMachine({ now: () => NOW }).facts()
  t.ok(facts.idleMs !== undefined)
  t.ok((facts.loadPerCore ?? -1) >= 0)
  t.ok((facts.freeMemoryBytes ?? 0) > 0)
})
