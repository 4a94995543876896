// Rounds go on behind those of the calls before, and what is not good, or nothing at all, is not good.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runRounds, type Wish } from './round.ts'
import type { Part } from './run.ts'

/** Runs rounds of a part that is bad in its third; answers which, and whether all was well. */
async function run(file: string, wish: Partial<Wish>) {
  const seeds: number[] = []
  const lines: string[] = []
  const part: Part = async ({ seed }) => {
    seeds.push(seed)
    if (seed === 3) throw new Error('the third breaks')
    return { faults: [] }
  }
  const well = await runRounds({
    ...{ name: 'cheap', part, file, wish: { workers: 1, ...wish } },
    print: (line) => lines.push(line),
  })
  t.same(
    lines.map((line) => JSON.parse(line).round),
    seeds,
    'a line each',
  )
  return { seeds, well }
}

t.test('a later call goes on behind the last round, and its lines behind the lines', async (t) => {
  const file = join(t.testdir(), 'cheap.ndjson')
  t.same(await run(file, { rounds: 2 }), { seeds: [1, 2], well: true })
  t.same(await run(file, { rounds: 1 }), { seeds: [3], well: false })
  t.same(await run(file, { rounds: 1 }), { seeds: [4], well: true }, 'what was bad before is not bad again')
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines, [{ round: 1, ok: true }, { round: 2 }, { ok: false, faults: [/the third breaks/] }, { part: 'cheap' }])
})

t.test('one that is run again by its number does not set the count back', async (t) => {
  const file = join(t.testdir(), 'cheap.ndjson')
  await run(file, { rounds: 5 })
  t.same(await run(file, { rounds: 1, from: 2 }), { seeds: [2], well: true })
  t.same((await run(file, { rounds: 1 })).seeds, [6])
})

t.test('a line that broke off counts for nothing, and takes none with it', async (t) => {
  const file = join(t.testdir(), 'cheap.ndjson')
  writeFileSync(file, '{"round":6,"ok":true}\n{"round":7,"o')
  t.same((await run(file, { rounds: 1 })).seeds, [7])
  t.same((await run(file, { rounds: 1 })).seeds, [8])
})

t.test('a run of no round has shown nothing', async (t) => {
  t.same(await run(join(t.testdir(), 'cheap.ndjson'), { minutes: 0 }), { seeds: [], well: false })
})
