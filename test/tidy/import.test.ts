// The import map holds for every file, names real folders, and fails on what it forbids.
import t from 'tap'
import { checkImports, importsOf, packageOf } from './import.ts'
import { folderMap, packageMap } from './import-map.ts'
import { describe, isWithin, listFiles, parseSource, readSources, readText } from './source.ts'

t.test('every file imports only what its folder may', async (t) => {
  t.strictSame(describe(readSources().flatMap(checkImports)), [])
})

t.test('the map and the tree name the same folders', async (t) => {
  const real = listFiles().flatMap((path) => /^(src|server)\/[^/]+(?=\/)/.exec(path)?.[0] ?? [])
  t.strictSame(
    [...new Set(real)].filter((folder) => !(folder in folderMap)),
    [],
    'every folder has a row in test/tidy/import-map.ts',
  )
  const files = listFiles()
  const empty = Object.keys(folderMap).filter((folder) => !files.some((path) => path.startsWith(`${folder}/`)))
  t.strictSame(empty, [], 'every row has a folder with files')
})

t.test('the map and package.json name the same packages', async (t) => {
  const { dependencies, optionalDependencies } = JSON.parse(readText('package.json')) as Record<string, object>
  t.strictSame(Object.keys(packageMap).sort(), Object.keys({ ...dependencies, ...optionalDependencies }).sort())
  const serverOnly = (places: readonly string[]) => places.every((place) => isWithin(place, 'server'))
  for (const [name, row] of Object.entries(packageMap)) {
    const optional = name in (optionalDependencies ?? {})
    t.equal(optional, serverOnly(row.places), `${name}: what only the server imports is optional, and nothing else is`)
  }
})

t.test('every package is imported', async (t) => {
  const product = readSources().filter(({ path }) => /^(bin|src|server)\//.test(path))
  const used = new Set(product.flatMap((source) => importsOf(source).map(({ to }) => packageOf(to ?? ''))))
  const idle = Object.entries(packageMap).filter(([name, row]) => row.places.length > 0 && !used.has(name))
  t.strictSame(
    idle.map(([name]) => name),
    [],
    'take it out of package.json until something needs it',
  )
})

t.test('it can fail', async (t) => {
  const bad: readonly (readonly [path: string, text: string, complaint: RegExp])[] = [
    [
      'src/protocol/a.ts',
      "import { x } from '../system/clock.ts'",
      /src\/protocol imports src\/system\/clock\.ts; .*nothing of ours/,
    ],
    ['src/protocol/a.ts', "import { createHash } from 'node:crypto'", /no built-in module/],
    ['src/state/a.ts', "import { readFileSync } from 'node:fs'", /no built-in module.*pure/],
    ['src/system/a.ts', "import type { X } from '../protocol/id.ts'", /src\/system imports src\/protocol/],
    ['src/executor/a.ts', "import { x } from '../orchestrator/poll.ts'", /src\/executor imports src\/orchestrator/],
    ['src/cli/a.ts', "import { x } from '../../server/pond.ts'", /src\/cli imports server\/pond\.ts/],
    ['server/http/a.ts', "import { x } from '../../src/client/call.ts'", /server\/http imports src\/client/],
    ['server/http/a.ts', "const x = await import('../store/sqlite.ts')", /server\/http imports server\/store/],
    ['server/service/a.ts', "import { x } from '../store/sqlite.ts'", /server\/service imports server\/store\/sqlite/],
    ['server/service/a.ts', "export { open } from '../../src/seal/open.ts'", /but not src\/seal\/open/],
    ['server/cli/a.ts', "import { x } from '../../src/cli/run.ts'", /server\/cli imports src\/cli\/run/],
    ['src/cli/a.ts', "import { request } from 'undici'", /only in src\/client/],
    ['src/cli/a.ts', "import { connect } from 'node:child_process'", /only in src\/executor/],
    ['src/cli/a.ts', "import { x } from 'left-pad'", /does not know/],
    ['src/cli/a.ts', "import fs from 'fs'", /without node:/],
    ['src/cli/a.ts', "import { x } from './b.js'", /without its ending/],
    ['src/cli/a.ts', 'const x = await import(name)', /computed/],
    ['src/cli/a.ts', "type X = import('../../server/pond.ts').Pond", /imports server\/pond\.ts/],
  ]
  for (const [path, text, complaint] of bad) {
    t.match(describe(checkImports(parseSource(path, text))), [complaint], `${path}: ${text}`)
  }
})

t.test('it can pass', async (t) => {
  const good: readonly (readonly [path: string, text: string])[] = [
    ['src/state/a.ts', "import type { JobId } from '../protocol/id.ts'\nimport { step } from './step.ts'"],
    [
      'server/service/a.ts',
      "import type { Store } from '../store/contract.ts'\nimport { sign } from '../../src/seal/sign.ts'",
    ],
    ['server/cli/a.ts', "import { print } from '../../src/cli/output.ts'"],
    ['server/store/sqlite-driver.ts', "import { DatabaseSync } from '@photostructure/sqlite'"],
    ['bin/pond.ts', "const { serve } = await import('../server/cli/serve.ts')"],
  ]
  for (const [path, text] of good) t.strictSame(checkImports(parseSource(path, text)), [], `${path}: ${text}`)
})
