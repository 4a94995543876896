// A swarm behind a NAT and a pond that opens no connection, on the worst days of the network between them: one moment for each fault.
// `npm run soak -- network` has every fault in every moment.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createNetworkRig } from '../harness/network-rig.ts'
import { until } from '../harness/process-rig.ts'
import { type Cell, runCell } from '../soak/network-cell.ts'

// They mostly wait, each for a network of its own.
t.jobs = 10

const cells: readonly Cell[] = [
  { fault: 'blackhole', moment: 'final', sealed: false },
  { fault: 'deaf', moment: 'poll', sealed: true },
  { fault: 'mute', moment: 'artifact', sealed: true },
  { fault: 'loss', moment: 'chunk', sealed: false },
  { fault: 'reset', moment: 'chunk', sealed: true },
  { fault: 'forget', moment: 'final', sealed: false },
  { fault: 'latency', moment: 'artifact', sealed: false },
  { fault: 'link', moment: 'poll', sealed: false },
]

for (const cell of cells) {
  const name = `${cell.fault} in the middle of ${cell.moment}, ${cell.sealed ? 'sealed' : 'plain'}: nothing is lost or done twice`
  t.test(name, { buffered: true }, async (t) => {
    const { fired, onlineAfterMs, faults } = await runCell(cell)
    t.strictSame(faults, [])
    t.comment(`${fired}; online again ${onlineAfterMs} ms after it`)
  })
}

t.test(
  'a worker that was away for longer than its lease comes back to the claim that waits for it',
  { buffered: true },
  async (t) => {
    const net = await createNetworkRig({ flags: ['--lease', '8s', '--poll-hold', '4s'] })
    t.teardown(() => net.close())
    const flags = ['--on-lost', 'hold', '--hold', '10m']
    const job = await net.start({ name: 'held', sealed: true, artifactBytes: 1000, flags })
    await until('its start', () => job.hasStarted())
    const claim = async () => {
      const answer = await net.rig.client.persist('listAttempts', { params: { id: job.id } })
      return answer.ok ? answer.reply.items.map(({ claim_id, state }) => `${claim_id} ${state}`) : []
    }
    const [before = ''] = await claim()
    t.match(before, /^clm_\w+ confirmed$/)
    const heal = await net.nat.begin('link')
    job.talk()
    const held = [before.replace('confirmed', 'held')]
    await until('the end of its lease', async () => `${await claim()}` === `${held}`)
    await heal()
    await until('its worker', async () => `${await claim()}` === before)
    job.letGo()
    t.strictSame(await job.judge(), [])
  },
)

t.test('pond opens no connection, whatever people do with it', { buffered: true }, async (t) => {
  const net = await createNetworkRig({ flags: [] })
  t.teardown(() => net.close())
  const bundle = join(net.rig.folder, 'bundle')
  mkdirSync(bundle)
  writeFileSync(join(bundle, 'say.sh'), 'cat "$FILE"; echo "$VALUE" | wc -c; cp "$FILE" out.txt\n')
  await net.pond(['credential', 'set', 'secret', '--key', 'VALUE'], 'seven')
  const words = ['--bundle', bundle, '--credential', 'secret', '--artifact', 'out.txt', '--env', 'FILE=say.sh']
  const printed = await net.pond(['run', ...words, '--', 'sh', 'say.sh'])
  t.match(printed, /^cat "\$FILE".*\n6\n$/)
  const kept = join(net.rig.folder, 'kept')
  await net.pond(['artifacts', 'get', '--out', kept])
  t.match(await net.pond(['run', '--plain', '--', 'echo', 'hello']), /^hello\n$/)
  t.equal(await net.nat.openings(), 0, 'pairing, jobs, output, artifacts, a bundle and a credential took none')
  await net.nat.dial('pond', net.nat.pondAddress, 300)
  t.equal(await net.nat.openings(), 1, 'one would have been seen')
})
