// Tests mirror sources, and a missing, loose or stale test shows.
import t from 'tap'
import { coverTable } from './cover.ts'
import { checkMirror, testArea, testPathOf } from './mirror.ts'
import { describe, listFiles, parseSource, readSources } from './source.ts'

t.test('the tree', async (t) => {
  const files = new Set(listFiles())
  t.strictSame(describe(checkMirror({ sources: readSources(), files, cover: coverTable })), [])
  const areas = new Set(listFiles('test').map((path) => path.split('/')[1]))
  t.ok(areas.has('tidy') && 'tidy' in testArea)
})

t.test('where a test stands', async (t) => {
  t.equal(testPathOf('src/state/job.ts'), 'test/state/job.test.ts')
  t.equal(testPathOf('server/http/front.ts'), 'test/server/http/front.test.ts')
  t.equal(testPathOf('src/system/clock.ts'), 'test/world/clock.test.ts')
})

t.test('it can fail', async (t) => {
  const logic = parseSource('src/a/b.ts', 'export function run() { return 1 }')
  const contract = parseSource('src/a/contract.ts', 'export interface X { run(): void }\nexport const x = 1')
  const fat = parseSource('test/a/fat.test.ts', "import { run } from '../harness/run.ts'")
  const harness = parseSource('test/harness/run.ts', "export { run } from '../../src/a/b.ts'")
  const base = ['src/a/b.ts', 'src/a/contract.ts']
  const check = (more: readonly string[], cover: typeof coverTable = []) =>
    describe(checkMirror({ sources: [logic, contract, fat, harness], files: new Set([...base, ...more]), cover }))

  t.match(
    check(['test/a/fat.test.ts']),
    [/\(imported from test\/a\/fat\.test\.ts\)/],
    'and it tells where a row may point',
  )
  t.match(check([]), [/^src\/a\/b\.ts: has no test\/a\/b\.test\.ts/], 'logic without a test; a contract needs none')
  t.strictSame(check(['test/a/b.test.ts']), [])
  t.match(check(['test/a/b.test.ts', 'test/z/b.test.ts']), [/test\/z\/b\.test\.ts: mirrors neither/])
  t.match(check(['test/a/b.test.ts', 'test/b.test.ts']), [/lies loose/])
  t.strictSame(check(['test/a/b.test.ts', 'test/scenario/lost-reply.test.ts']), [], 'an area mirrors nothing')

  const row = { test: 'test/a/fat.test.ts', covers: ['src/a/b.ts'], why: 'one table' }
  t.strictSame(check(['test/a/fat.test.ts'], [row]), [])
  t.match(check([], [row]), [/fat\.test\.ts: is named in coverTable and does not exist/])
  t.match(check(['test/a/fat.test.ts', 'test/a/b.test.ts'], [row]), [/has its own test/])
  t.match(check(['test/a/fat.test.ts'], [row, { ...row, covers: ['src/a/contract.ts'] }]), [/has no logic/])
  t.match(check(['test/a/fat.test.ts'], [row, { ...row, covers: ['src/a/gone.ts'] }]), [/does not exist/])
  t.match(check(['test/a/far.test.ts'], [{ ...row, test: 'test/a/far.test.ts' }]), [/is never imported from there/])
})
