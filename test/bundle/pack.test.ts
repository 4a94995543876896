// Packing: the same tree is the same bytes, what is packed is unpacked as it was, and what cannot be packed is said before a byte leaves.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { Parser, type ReadEntry } from 'tar'
import { BundleError } from '../../src/bundle/error.ts'
import { foldStep } from '../../src/bundle/name.ts'
import { packFolder } from '../../src/bundle/pack.ts'
import { unpack } from '../../src/bundle/unpack.ts'

/** By name: a content, a program, a link's target, or nothing for a folder. */
type Plan = Readonly<Record<string, { file: string } | { program: string } | { link: string } | undefined>>

function plant(top: string, plan: Plan): string {
  mkdirSync(top, { recursive: true })
  for (const [name, what] of Object.entries(plan)) {
    const path = join(top, name)
    mkdirSync(dirname(path), { recursive: true })
    if (what === undefined) mkdirSync(path, { recursive: true })
    else if ('link' in what) symlinkSync(what.link, path)
    else if ('file' in what) writeFileSync(path, what.file)
    else writeFileSync(path, what.program, { mode: 0o755 })
  }
  return top
}

function survey(top: string, prefix = ''): Record<string, unknown> {
  return Object.assign(
    {},
    ...readdirSync(join(top, prefix), { withFileTypes: true }).map((entry) => {
      const name = prefix + entry.name
      const path = join(top, name)
      if (entry.isDirectory()) return { [name]: undefined, ...survey(top, `${name}/`) }
      if (entry.isSymbolicLink()) return { [name]: { link: readlinkSync(path) } }
      const isProgram = (lstatSync(path).mode & 0o100) !== 0
      return { [name]: { [isProgram ? 'program' : 'file']: readFileSync(path, 'utf8') } }
    }),
  )
}

/** What a packing was refused for. */
async function refusal(packing: Promise<unknown>): Promise<string> {
  const error: unknown = await packing.then(
    () => 'packed',
    (error: unknown) => error,
  )
  if (error instanceof BundleError) return error.entry === undefined ? error.reason : `${error.reason} ${error.entry}`
  throw error
}

async function bytesOf(folder: string): Promise<Buffer> {
  return Buffer.concat(await Readable.from(await packFolder({ folder })).toArray())
}

const golden: Plan = {
  'a/b': { file: 'below a' },
  'a-b': { file: 'before a/b in byte order' },
  'a/empty': undefined,
  'a.txt': { file: '' },
  run: { program: '#!/bin/sh\n' },
  [`${'long/'.repeat(30)}name`]: { file: 'l' },
  '\u00fc\u{1f980}': { file: 'x'.repeat(513) },
  'link to \u00fc': { link: '\u00fc\u{1f980}' },
  'a/up': { link: '../run' },
}

t.test('the same tree gives the same bytes, whenever and however it was made', async (t) => {
  const top = t.testdir({})
  const first = plant(join(top, '1'), golden)
  const mask = process.umask(0o077)
  const second = plant(join(top, '2'), Object.fromEntries(Object.entries(golden).reverse()))
  process.umask(mask)
  for (const name of ['a', 'a/b', 'run']) utimesSync(join(second, name), 1e9, 1e9)
  chmodSync(join(second, 'a.txt'), 0o604)
  const packing = await packFolder({ folder: first })
  t.equal(await packing.packedDigest(), await (await packFolder({ folder: second })).packedDigest())
  t.equal(
    await packing.packedDigest(),
    '6bad0de0b96423d95019ce9527f835ef4f5f3a40a6dfff2cea8bd299416e99cb',
    'another digest makes everyone upload again: change the format only with a reason',
  )
  chmodSync(join(second, 'a.txt'), 0o744)
  t.not(
    await (await packFolder({ folder: second })).packedDigest(),
    await packing.packedDigest(),
    'the executable bit counts',
  )
})

t.test('amounts are known before, progress is told, and it can be read again', async (t) => {
  const folder = plant(join(t.testdir({}), 'in'), { ...golden, large: { file: 'x'.repeat(1_000_000) } })
  const told: { files: number; packedBytes: number }[] = []
  const packing = await packFolder({ folder, progress: (done) => told.push(done) })
  t.match(packing, { files: 7, bytes: 7 + 24 + 10 + 1 + 513 + 1_000_000 })
  const first = Buffer.concat(await Readable.from(packing).toArray())
  t.equal(first.length, packing.packedBytes)
  t.ok(told.length > 2)
  t.strictSame(told.at(-1), { files: 7, packedBytes: packing.packedBytes })
  t.ok(first.equals(Buffer.concat(await Readable.from(packing).toArray())))
})

t.test('another program reads the same names', async (t) => {
  const folder = plant(join(t.testdir({}), 'in'), golden)
  const names: string[] = []
  const parser = new Parser({ strict: true })
  parser.on('entry', (entry: ReadEntry) => {
    names.push(entry.path)
    entry.resume()
  })
  const ended = once(parser, 'end')
  parser.end(await bytesOf(folder))
  await ended
  t.strictSame(
    names.map((name) => name.replace(/\/$/, '')),
    Object.keys(survey(folder)).sort((a, b) => Buffer.compare(keyOf(folder, a), keyOf(folder, b))),
  )
})

const keyOf = (top: string, name: string) => Buffer.from(lstatSync(join(top, name)).isDirectory() ? `${name}/` : name)

const step = fc
  .oneof(
    { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c') },
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
    fc.integer({ min: 90, max: 255 }).map((length) => 'n'.repeat(length)),
    fc.constantFrom(' ', '...', '-', '*', 'line\nbreak', '\u001b[31m', '#', '~', 'e\u0301'),
  )
  .filter(
    (name) =>
      !/[/\\\0]|^\.{1,2}$|^[a-z]:|\p{Default_Ignorable_Code_Point}/iu.test(name) && Buffer.byteLength(name) <= 255,
  )

const planned = fc.dictionary(
  fc.array(step, { minLength: 1, maxLength: 4 }).map((steps) => steps.join('/')),
  fc.oneof(
    fc.constant(undefined),
    fc.string({ maxLength: 1600 }).map((file) => ({ file })),
    fc.string({ maxLength: 20 }).map((program) => ({ program })),
    fc.array(step, { minLength: 1, maxLength: 3 }).map((steps) => ({ link: steps.join('/') })),
  ),
  { maxKeys: 8 },
)

/** Takes out names that meet on some machine, and those that lead through a file. */
function plantable(plan: Plan): Plan {
  const kept: [string, Plan[string]][] = []
  const places = new Map<string, string>()
  for (const [name, what] of Object.entries(plan)) {
    const steps = name.split('/')
    const above = steps.map((_, at) => steps.slice(0, at + 1).join('/'))
    const fits = above.every((path, at) => {
      const there = places.get(foldStep(path))
      return there === undefined || (at < steps.length - 1 && there === `${path}/`)
    })
    if (!fits) continue
    for (const path of above.slice(0, -1)) places.set(foldStep(path), `${path}/`)
    places.set(foldStep(name), what === undefined ? `${name}/` : name)
    kept.push([name, what])
  }
  return Object.fromEntries(kept)
}

t.test('what was packed is unpacked as it was', async (t) => {
  const top = t.testdir({})
  let links = 0
  const property = fc.asyncProperty(planned, async (plan) => {
    const folder = plant(join(top, 'in'), plantable(plan))
    const out = join(top, 'out')
    try {
      const packing = await packFolder({ folder })
      t.match(await unpack(packing, out), { files: packing.files, bytes: packing.bytes })
      t.strictSame(survey(out), survey(folder))
      t.equal(await (await packFolder({ folder: out })).packedDigest(), await packing.packedDigest())
      links += Object.values(survey(out)).filter((what) => typeof what === 'object' && what && 'link' in what).length
    } catch (error) {
      // Random links may go in circles; that is refused on both sides.
      if (!(error instanceof Error && 'reason' in error && /link_loop|name_clash/.test(String(error.reason))))
        throw error
    }
    for (const path of [folder, out]) rmSync(path, { recursive: true, force: true })
  })
  await fc.assert(property, { numRuns: 250 })
  t.ok(links > 20, `${links} links`)
})

t.test('the ignore file is asked, and history stays at home', async (t) => {
  const folder = plant(join(t.testdir({}), 'in'), {
    '.pondignore': { file: '*.log\n!keep.log\n/build/\n' },
    '.git/config': { file: 'x' },
    'a.log': { file: 'x' },
    'sub/keep.log': { file: 'x' },
    'sub/build/x': { file: 'x' },
    'build/keep.log': { file: 'x' },
    'build/\u001b': { link: '/etc/passwd' },
  })
  const out = join(folder, '..', 'out')
  await unpack(await packFolder({ folder }), out)
  t.strictSame(Object.keys(survey(out)).sort(), ['.pondignore', 'sub', 'sub/build', 'sub/build/x', 'sub/keep.log'])
  for (const unusable of ['[', '\n'.repeat(70_000)]) {
    writeFileSync(join(folder, '.pondignore'), unusable)
    t.match(await refusal(packFolder({ folder })), 'bad_ignore')
  }
  rmSync(join(folder, '.pondignore'))
  mkdirSync(join(folder, '.pondignore'))
  t.match(await refusal(packFolder({ folder })), 'bad_ignore')
})

t.test('what cannot be packed is refused before a byte leaves, and named', async (t) => {
  const refused = async (plan: Plan, reason: string, limits = {}) => {
    const folder = plant(join(t.testdir({}), 'in'), plan)
    t.match(await refusal(packFolder({ folder, limits })), reason)
    return folder
  }
  await refused({ 'a/out': { link: '../../x' } }, 'link_escapes')
  await refused({ a: { link: '/etc/passwd' } }, 'link_escapes')
  await refused({ a: { link: 'b' }, b: { link: 'a' } }, 'link_loop')
  await refused({ 'a\\b': { file: '' } }, 'bad_name')
  await refused({ Readme: { file: '' }, README: { file: '' } }, 'name_clash')
  await refused({ '\u00e9': { file: '' }, 'e\u0301': { file: '' } }, 'name_clash')
  await refused({ a: { file: '' }, b: { file: '' } }, 'too_many_entries', { entries: 1 })
  await refused({ a: { file: 'xx' }, b: { file: 'xx' } }, 'too_large', { totalBytes: 3 })
  await refused({ a: { file: 'xx' } }, 'file_too_large', { fileBytes: 1 })
  await refused({ 'a/b/c': undefined }, 'too_deep', { pathDepth: 2 })
  const folder = join(t.testdir({ in: {} }), 'in')
  execFileSync('mkfifo', [join(folder, 'pipe')])
  t.equal(await refusal(packFolder({ folder })), 'special_file pipe')
  rmSync(join(folder, 'pipe'))
  const latin = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x61, 0xff])])
  writeFileSync(latin, '')
  t.equal(await refusal(packFolder({ folder })), 'bad_name a\u00ff')
  rmSync(latin)
  await t.rejects(packFolder({ folder: join(folder, 'none') }), { code: 'ENOENT' })
})

t.test('a file that changes between the look and the last byte is refused', async (t) => {
  const changes: Readonly<Record<string, (path: string) => void>> = {
    longer: (path) => writeFileSync(path, 'x', { flag: 'a' }),
    shorter: (path) => truncateSync(path, 5),
    gone: (path) => rmSync(path),
    'a link': (path) => [rmSync(path), symlinkSync('/etc/passwd', path)],
    'a pipe': (path) => [rmSync(path), execFileSync('mkfifo', [path])],
    'of the same size and time': (path) => {
      const { atime, mtime, size } = lstatSync(path)
      writeFileSync(`${path}.new`, 'y'.repeat(size))
      utimesSync(`${path}.new`, atime, mtime)
      renameSync(`${path}.new`, path)
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    const folder = plant(join(t.testdir({}), 'in'), { a: { file: 'x'.repeat(2_000_000) }, z: { file: 'x'.repeat(50) } })
    for (const name of ['a', 'z']) {
      const packing = await packFolder({ folder })
      const changing = async () => {
        let isFirst = true
        for await (const _ of packing) {
          if (isFirst) change(join(folder, name))
          isFirst = false
        }
      }
      t.equal(await refusal(changing()), `changed ${name}`, what)
      rmSync(join(folder, name), { force: true })
      writeFileSync(join(folder, name), 'x'.repeat(2_000_000))
    }
  }
})

t.test('a signal ends it', async (t) => {
  const folder = plant(join(t.testdir({}), 'in'), { a: { file: 'x'.repeat(2_000_000) } })
  const stop = new AbortController()
  const packing = await packFolder({ folder, signal: stop.signal, progress: () => stop.abort(new Error('no longer')) })
  await t.rejects(packing.packedDigest(), { message: 'no longer' })
})

t.test('a large file is packed in little memory', async (t) => {
  const folder = plant(join(t.testdir({}), 'in'), { large: { file: '' } })
  truncateSync(join(folder, 'large'), 256 * 1024 * 1024)
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const progress = () => {
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  await (await packFolder({ folder, progress })).packedDigest()
  t.ok(most < 128 * 1024 * 1024, `${Math.round(most / 2 ** 20)} MiB`)
})
