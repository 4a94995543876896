// package-lock.json can be installed by `npm ci` on every machine, and ties no package to one registry.
import t from 'tap'
import { readText } from './source.ts'

interface Entry {
  readonly version?: string
  readonly resolved?: string
  readonly hasInstallScript?: boolean
  readonly dev?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}
type Packages = Readonly<Record<string, Entry>>

const { packages } = JSON.parse(readText('package-lock.json')) as { packages: Packages }

t.test('packages for other platforms are there too', async (t) => {
  t.strictSame(findGaps(packages), [], 'npm ci refuses a lock that names a package and has no entry for it')
})

/** Packages whose install script has nothing to do, with the proof. */
const harmlessScript = new Map([
  [
    'node_modules/@photostructure/sqlite',
    'binaries are in the package; test/system/pack.test.ts installs without scripts and serves',
  ],
])

t.test('no runtime package needs an install script', async (t) => {
  const needy = Object.entries(packages).filter(
    ([path, entry]) => entry.hasInstallScript && !entry.dev && !harmlessScript.has(path),
  )
  t.strictSame(
    needy.map(([path]) => path),
    [],
    'npm ci --ignore-scripts must give a working product',
  )
})

t.test('the lock asks for what package.json asks for', async (t) => {
  const wanted = JSON.parse(readText('package.json')) as Entry
  for (const kind of ['dependencies', 'optionalDependencies', 'devDependencies'] as const) {
    t.strictSame(packages['']?.[kind], wanted[kind], `${kind}: npm ci refuses a lock that differs; run npm install`)
  }
})

t.test('no entry says where it came from', async (t) => {
  t.strictSame(
    Object.entries(packages).filter(([, entry]) => entry.resolved),
    [],
  )
})

t.test('it can fail', async (t) => {
  const gap: Packages = {
    'node_modules/a': { version: '1.0.0', optionalDependencies: { 'a-linux': '1.0.0', 'a-mac': '1.0.0' } },
    'node_modules/a-linux': {},
  }
  t.strictSame(findGaps(gap), ['node_modules/a → a-mac'])
})

/** Node looks in the package's own node_modules first, then in each one above it. */
function findGaps(map: Packages): readonly string[] {
  return Object.entries(map).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !placesAbove(path).some((place) => `${place}node_modules/${name}` in map))
      .map((name) => `${path} → ${name}`),
  )
}

function placesAbove(path: string): readonly string[] {
  const steps = path === '' ? [] : path.split(/(?<=^|\/)node_modules\//).slice(1)
  return [
    '',
    ...steps.map(
      (_, index) =>
        `${steps
          .slice(0, index + 1)
          .map((step) => `node_modules/${step.replace(/\/$/, '')}/`)
          .join('')}`,
    ),
  ]
}
