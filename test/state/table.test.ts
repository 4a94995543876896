// Diagrams and rows are printed from what runs.
import t from 'tap'
import { jobTable } from '../../src/state/job.ts'
import { leaseTable } from '../../src/state/lease.ts'
import { notPossible, printDiagram, printRows, refused, type Table } from '../../src/state/table.ts'

const lamp: Table<string, { press: object }, 'off' | 'on' | 'broken', string> = {
  off: { press: { to: ['on', 'broken'], says: 'a bulb may burst', step: () => 'on' } },
  on: { press: { to: ['off'], says: 'dark again', step: () => 'off' } },
  broken: {},
}

t.test('a table becomes a Mermaid diagram', async (t) => {
  t.equal(
    printDiagram(lamp, 'off'),
    [
      'stateDiagram-v2',
      '  [*] --> off',
      '  off --> on: press',
      '  off --> broken: press',
      '  on --> off: press',
      '  broken --> [*]',
    ].join('\n'),
  )
})

t.test('and Markdown rows', async (t) => {
  t.equal(
    printRows(lamp),
    [
      '| state | event | leads to | when |',
      '|---|---|---|---|',
      '| off | press | on, broken | a bulb may burst |',
      '| on | press | off | dark again |',
    ].join('\n'),
  )
})

t.test('every final state of the job ends the diagram, and every arrow is there', async (t) => {
  const lines = printDiagram(jobTable, 'waiting').split('\n')
  t.strictSame(
    lines.filter((line) => line.endsWith('[*]')).map((line) => line.trim().split(' ')[0]),
    ['succeeded', 'failed', 'cancelled', 'expired'],
  )
  const cells = Object.values(jobTable).flatMap((row) => Object.values<{ readonly to: readonly string[] }>(row))
  t.equal(lines.length, 2 + 4 + cells.flatMap((cell) => cell.to).length)
  t.match(printRows(leaseTable), '| held | holdOver | lost | hold_ms is over |')
})

t.test('a refusal says why', async (t) => {
  t.strictSame(notPossible, { refused: 'not_possible' })
  t.strictSame(refused('stale'), { refused: 'stale' })
})
