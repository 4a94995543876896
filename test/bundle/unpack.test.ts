// Hostile archives, each made byte by byte: refused whole, with the folder gone; and honest ones of other programs, which are not.
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createGzip, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { BundleError, type BundleReason, bundleReasons, printableName } from '../../src/bundle/error.ts'
import { type BundleLimits, bundleLimits } from '../../src/bundle/limit.ts'
import { type Unpacked, unpack } from '../../src/bundle/unpack.ts'
import { type Lie, pax, streamOf, tarEnd, tarEntry, tarHead, tarOf } from '../harness/tar-writer.ts'

const folderOf = (name: string): Lie => ({ name, type: '5' })
const link = (name: string, target: string): Lie => ({ name, type: '2', target })
const hard = (name: string, target: string): Lie => ({ name, type: '1', target })

type Source = AsyncIterable<Uint8Array>

/** Unpacks beside a file that must stay as it is; returns what was refused. */
async function refusal(t: Test, source: Source, limits: Partial<BundleLimits> = {}): Promise<BundleError> {
  const top = t.testdir({ beside: 'mine' })
  const error: unknown = await unpack(source, join(top, 'out'), { limits }).catch((error: unknown) => error)
  t.strictSame(readdirSync(top), ['beside'], 'nothing is left, and nothing was made beside it')
  t.equal(readFileSync(join(top, 'beside'), 'utf8'), 'mine')
  if (error instanceof BundleError) return error
  throw new Error(`not refused: ${JSON.stringify(error)}`, { cause: error })
}

async function accepted(
  t: Test,
  source: Source,
  limits: Partial<BundleLimits> = {},
): Promise<Unpacked & { at: string }> {
  const at = join(t.testdir({}), 'out')
  return { ...(await unpack(source, at, { limits })), at }
}

const long = (bytes: number) => 'n'.repeat(bytes)
const deep = (depth: number) => Array(depth).fill('d').join('/')

const hostile: readonly (readonly [what: string, reason: BundleReason, ...parts: (Lie | Buffer)[]])[] = [
  ['an absolute path', 'bad_name', { name: '/etc/passwd' }],
  ['an absolute path in an extended header', 'bad_name', pax({ path: '/etc/passwd' }), { name: 'a' }],
  ['an absolute path by the prefix', 'bad_name', { prefix: '/etc', name: 'passwd' }],
  ['..', 'bad_name', { name: '..' }],
  ['.. in front', 'bad_name', { name: '../a' }],
  ['.. behind ./', 'bad_name', { name: './../a' }],
  ['.. in the middle', 'bad_name', folderOf('a'), { name: 'a/../../b' }],
  ['.. at the end of a folder', 'bad_name', folderOf('a/../')],
  ['.. in a GNU long name', 'bad_name', { name: '././@LongLink', type: 'L', body: '../a\0' }, { name: 'a' }],
  ['a step of one dot', 'bad_name', { name: 'a/./b' }],
  ['an empty step', 'bad_name', { name: 'a//b' }],
  ['a file that ends like a folder', 'bad_name', { name: 'a/' }],
  ['no name', 'bad_name', { name: '' }],
  ['no name by an extended header', 'bad_name', pax({ path: '' }), { name: 'a' }],
  ['the folder itself as a file', 'bad_name', { name: './' }],
  ['a backslash', 'bad_name', { name: '..\\a' }],
  ['a drive letter', 'bad_name', { name: 'C:a' }],
  ['a drive letter further down', 'bad_name', { name: 'a/c:/b' }],
  ['a NUL within a name', 'bad_name', { name: 'a\0b' }],
  ['a NUL and a line break within a name', 'bad_name', pax({ path: 'a\0\n/b' }), { name: 'a' }],
  ['a NUL within a GNU long name', 'bad_name', { type: 'L', body: 'a\0b\0' }, { name: 'a' }],
  ['bytes that are no UTF-8', 'bad_name', { name: Buffer.from([0x61, 0xff]) }],
  ['names in another character set', 'bad_name', pax({ hdrcharset: 'BINARY' }), { name: 'a' }],
  ['a step over 255 bytes', 'name_too_long', pax({ path: long(256) }), { name: 'a' }],
  ['a path over 1024 bytes', 'name_too_long', pax({ path: Array(9).fill(long(120)).join('/') }), { name: 'a' }],
  ['a deep path', 'too_deep', pax({ path: deep(65) }), { name: 'a' }],
  ['a link out of the folder', 'link_escapes', link('a', '../x')],
  ['a link to the root', 'link_escapes', link('a', '/')],
  ['a link out and in again', 'link_escapes', link('a', '../out/b')],
  ['a link out from below', 'link_escapes', link('d/a', '../../x')],
  ['a link out through a link', 'link_escapes', folderOf('d/e'), link('d/e/up', '../..'), link('out', 'd/e/up/../x')],
  ['a link out through a later link', 'link_escapes', link('out', 'd/x/../../y'), folderOf('d'), link('d/x', '..')],
  ['a link out through nothing', 'link_escapes', link('a', 'no/../../x')],
  ['a link out through a file', 'link_escapes', { name: 'f' }, link('a', 'f/../../x')],
  ['a link to itself', 'link_loop', link('a', 'a')],
  ['a link through itself', 'link_loop', link('a', 'a/../b')],
  ['links in a circle', 'link_loop', link('a', 'b'), link('b', 'c/x'), link('c', 'a')],
  ['a link to a name that differs by case', 'name_clash', folderOf('Dir'), link('a', 'dir/..')],
  ['a link without a target', 'bad_link', link('a', '')],
  ['a link with a backslash', 'bad_link', link('a', '..\\x')],
  ['a link with a drive letter', 'bad_link', link('a', 'C:')],
  ['a link with a NUL', 'bad_link', pax({ linkpath: 'b\0/../..' }), link('a', 'b')],
  ['a link with too long a target', 'bad_link', pax({ linkpath: 'x/'.repeat(600) }), link('a', 'b')],
  ['a link with too many steps', 'bad_link', pax({ linkpath: 'x/'.repeat(129) }), link('a', 'b')],
  ['a hard link out of the folder', 'bad_name', hard('a', '../x')],
  ['a hard link to an absolute path', 'bad_name', hard('a', '/etc/passwd')],
  ['a hard link to nothing', 'bad_link', hard('a', 'b')],
  ['a hard link to what comes later', 'bad_link', hard('a', 'b'), { name: 'b' }],
  ['a hard link to a folder', 'bad_link', folderOf('b'), hard('a', 'b')],
  ['a hard link to a link', 'bad_link', link('l', 'b'), hard('a', 'l')],
  ['a hard link through a link', 'bad_link', { name: 'd/b' }, link('l', 'd'), hard('a', 'l/b')],
  ['a hard link with a content', 'bad_header', { name: 'b' }, { ...hard('a', 'b'), body: 'x' }],
  ['a file through a link', 'not_a_folder', folderOf('d'), link('l', 'd'), { name: 'l/a' }],
  ['a folder through a link', 'not_a_folder', folderOf('d'), link('l', 'd'), folderOf('l/a')],
  ['a file through a later link', 'duplicate', { name: 'l/a' }, link('l', 'd')],
  ['a link that is replaced by a folder', 'duplicate', link('l', 'd'), folderOf('l')],
  ['a link that is replaced by another', 'duplicate', link('l', 'd'), link('l', '..')],
  ['a folder that is replaced by a link', 'duplicate', folderOf('l'), link('l', 'd')],
  ['a file that is replaced by a link', 'duplicate', { name: 'l' }, link('l', 'd')],
  ['a file twice', 'duplicate', { name: 'a' }, { name: 'a' }],
  ['a file twice, once with ./', 'duplicate', { name: 'a' }, { name: './a' }],
  ['a folder twice', 'duplicate', folderOf('a'), folderOf('a/')],
  ['the top twice', 'duplicate', folderOf('./'), folderOf('.')],
  ['a file where a folder is', 'duplicate', { name: 'a/b' }, { name: 'a' }],
  ['a folder where a file is', 'not_a_folder', { name: 'a' }, { name: 'a/b' }],
  ['names that differ by case', 'name_clash', { name: 'Readme' }, { name: 'README' }],
  ['folders that differ by case', 'name_clash', { name: 'Lib/a' }, { name: 'lib/b' }],
  ['names that differ by form', 'name_clash', { name: '\u00e9' }, { name: 'e\u0301' }],
  ['names that differ by sharp s', 'name_clash', { name: 'stra\u00dfe' }, { name: 'STRASSE' }],
  ['names that differ by an invisible character', 'name_clash', { name: '.git' }, { name: '.g\u200cit' }],
  ['a character device', 'special_file', { type: '3' }],
  ['a block device', 'special_file', { type: '4' }],
  ['a fifo', 'special_file', { type: '6' }],
  ['setuid', 'special_bits', { mode: 0o4755 }],
  ['setgid', 'special_bits', { mode: 0o2755 }],
  ['sticky', 'special_bits', { ...folderOf('a'), mode: 0o1777 }],
  ['a sparse file of GNU', 'unsupported_type', { type: 'S' }],
  ['a sparse file by an extended header', 'unsupported_type', pax({ 'GNU.sparse.realsize': '10000000000' }), {}],
  ['a socket, or whatever else', 'unsupported_type', { type: 's' }],
  ['a contiguous file', 'unsupported_type', { type: '7' }],
  ['a volume header', 'unsupported_type', { type: 'V' }],
  ['a continued file', 'unsupported_type', { type: 'M' }],
  ['a folder with a content', 'bad_header', { ...folderOf('a'), body: 'x' }],
  ['a file with a target', 'bad_header', { target: 'x' }],
  ['a global header that renames', 'bad_header', pax({ path: 'b' }, 'g'), {}],
  ['two names for one entry', 'bad_header', pax({ path: 'b' }), { type: 'L', body: 'c\0' }, {}],
  ['two extended headers with a name', 'bad_header', pax({ path: 'b' }), pax({ path: 'c' }), {}],
  ['an extended header for nothing', 'bad_header', pax({ path: 'b' })],
  ['a size that is no number', 'bad_header', { size: '12x4567890\0' }],
  ['a negative size', 'bad_header', { size: '-0000000001' }],
  ['a size that is no number in an extended header', 'bad_header', pax({ size: '-1' }), {}],
  ['a wrong checksum', 'bad_checksum', { off: 1 }],
  ['a header of another format', 'not_an_archive', { magic: '\0\0\0\0\0\0\0\0' }],
  ['one file over the limit', 'file_too_large', { size: 0o77777777777 }],
  ['a size in base 256', 'file_too_large', { size: `\x80${'\0'.repeat(10)}\x01` }],
  ['a huge size in an extended header', 'file_too_large', pax({ size: '999999999999999' }), {}],
  ['a huge extended header', 'meta_too_large', tarHead({ type: 'x', size: 0o7777777777 })],
  ['a huge long name', 'meta_too_large', tarHead({ type: 'L', size: 65_537 })],
  ['a size that lies', 'truncated', { size: 10_000 }],
]

for (const [what, reason, ...parts] of hostile) {
  t.test(`${what} is refused`, async (t) => {
    const plain = tarOf({ name: 'before', body: 'x' }, ...parts)
    t.equal((await refusal(t, streamOf(plain))).reason, reason)
    t.equal((await refusal(t, streamOf(gzipSync(plain)))).reason, reason, 'the same in a gzip stream')
  })
}

t.test('what is no archive at all is refused', async (t) => {
  for (const [what, bytes, reason] of [
    ['nothing', '', 'truncated'],
    ['text', 'hello'.repeat(500), 'not_an_archive'],
    ['a zip', `PK\x03\x04${'x'.repeat(600)}`, 'not_an_archive'],
    ['a gzip of text', gzipSync('x'.repeat(600)), 'not_an_archive'],
    ['a gzip in a gzip', gzipSync(gzipSync(Buffer.alloc(10_000_000))), 'not_an_archive'],
    ['the first bytes of a gzip', Buffer.from([0x1f, 0x8b]), 'bad_gzip'],
    ['a gzip with a wrong sum', Buffer.concat([gzipSync(tarOf({})).subarray(0, -8), Buffer.alloc(8, 7)]), 'bad_gzip'],
    ['one block of zeros', Buffer.alloc(512), 'truncated'],
    ['a block of zeros, then an entry', Buffer.concat([Buffer.alloc(512), tarOf({})]), 'bad_header'],
    ['an entry behind the end', Buffer.concat([tarOf({}), tarOf({})]), 'trailing_garbage'],
    ['a byte behind the end', Buffer.concat([tarOf({}), Buffer.from('x')]), 'trailing_garbage'],
    ['garbage behind a gzip', Buffer.concat([gzipSync(tarOf({})), Buffer.from('x')]), 'bad_gzip'],
    ['zeros and garbage behind a gzip', Buffer.concat([gzipSync(tarOf({})), Buffer.from('\0x')]), 'trailing_garbage'],
  ] as const) {
    for (const pieceBytes of [1, 7, 1_000_000]) {
      t.equal((await refusal(t, streamOf(Buffer.from(bytes), pieceBytes))).reason, reason, what)
    }
  }
})

/** `count` copies of a piece, and how many were asked for. */
function repeated(piece: Buffer, count: number, first: Buffer = Buffer.alloc(0)) {
  const asked = { bytes: 0, most: 0 }
  async function* read(): AsyncGenerator<Buffer> {
    yield first
    for (let at = 0; at < count; at++) {
      asked.bytes += piece.length
      asked.most = Math.max(asked.most, process.memoryUsage().arrayBuffers)
      yield piece
    }
  }
  return { read, asked }
}

const MiB = 1024 * 1024

t.test('ten gigabytes out of little are refused before they are there', async (t) => {
  const zeros = Buffer.alloc(MiB)
  const bomb = repeated(zeros, 10_240, tarHead({ size: 10_240 * MiB }))
  const one = Readable.from(bomb.read()).pipe(createGzip({ level: 1 }))
  t.equal((await refusal(t, one)).reason, 'file_too_large')
  one.destroy()
  t.ok(bomb.asked.bytes < 256 * MiB, 'the rest was never asked for')

  const behind = repeated(zeros, 10_240, tarOf({}))
  t.equal(
    (await refusal(t, behind.read(), { overheadBytes: 8 * MiB })).reason,
    'meta_too_large',
    'zeros behind the end',
  )
  t.ok(behind.asked.bytes < 16 * MiB)
})

t.test('files that are too large only together are refused', async (t) => {
  const files = (count: number) =>
    tarOf(...Array.from({ length: count }, (_, at) => ({ name: `${at}`, body: 'x'.repeat(600) })))
  t.match(await accepted(t, streamOf(files(10)), { totalBytes: 6000 }), { files: 10, bytes: 6000 })
  t.match(await refusal(t, streamOf(files(11)), { totalBytes: 6000 }), { reason: 'too_large', entry: '10' })
})

t.test('a million entries are refused at the limit', async (t) => {
  let made = 0
  async function* million(): AsyncGenerator<Buffer> {
    yield tarEntry({ name: 'a' })
    for (; made < 1_000_000; made += 100) {
      yield Buffer.concat(Array.from({ length: 100 }, (_, at) => tarHead(hard(`${made + at}`, 'a'))))
    }
  }
  t.equal((await refusal(t, million())).reason, 'too_many_entries')
  t.ok(made <= bundleLimits.entries)
  const nested = [folderOf('a/b/c'), { name: 'd' }]
  t.match(await accepted(t, streamOf(tarOf(...nested)), { entries: 4 }), { files: 1 })
  t.equal(
    (await refusal(t, streamOf(tarOf(...nested)), { entries: 3 })).reason,
    'too_many_entries',
    'implied folders count',
  )
  const globals = Array.from({ length: 4 }, () => pax({ comment: 'x' }, 'g'))
  t.equal(
    (await refusal(t, streamOf(tarOf(...globals)), { entries: 3 })).reason,
    'too_many_entries',
    'global headers count',
  )
})

t.test('links through links are followed as far as Linux does', async (t) => {
  const chain = (length: number) => Array.from({ length }, (_, at) => link(`l${at}`, at === 0 ? 'end' : `l${at - 1}`))
  await accepted(t, streamOf(tarOf(...chain(40))))
  t.equal((await refusal(t, streamOf(tarOf(...chain(41))))).reason, 'link_loop')
  t.equal((await refusal(t, streamOf(tarOf(...chain(41).reverse())))).reason, 'link_loop', 'in any order')
  t.equal((await refusal(t, streamOf(tarOf(...chain(20_000).reverse())))).reason, 'link_loop', 'without a deep stack')
})

t.test('an honest archive is unpacked as it is', async (t) => {
  const name = `${'longer/'.repeat(20)}${'\u00fc'.repeat(100)}`
  const { at, files, bytes } = await accepted(
    t,
    streamOf(
      tarOf(
        pax({ comment: 'a commit' }, 'g'),
        folderOf('./'),
        folderOf('./empty/'),
        { name: './run', body: '#!', mode: 0o100755 },
        { name: './plain', body: 'p'.repeat(1500), magic: 'ustar  \0' },
        { prefix: 'by', name: 'prefix', body: '1' },
        pax({ path: name, mtime: '1.5', 'LIBARCHIVE.xattr.x': 'y' }),
        { name: 'x', body: 'long' },
        { type: 'L', body: 'gnu/long\0' },
        { name: 'x', type: '\0', body: 'gnu' },
        pax({ size: '3' }),
        { name: 'sized', body: 'abc', size: 0 },
        hard('./twin', './run'),
        link('here', 'empty/../plain'),
        { type: 'K', body: `${'./'.repeat(60)}run\0` },
        link('far', 'x'),
        link('by/up', '..'),
        link('back', 'by/up/plain'),
        link('nowhere', 'not/there'),
        Buffer.alloc(9216),
      ),
      4001,
    ),
  )
  t.strictSame({ files, bytes }, { files: 7, bytes: 2 + 1500 + 1 + 4 + 3 + 3 })
  const read = (name: string) => readFileSync(join(at, name), 'utf8')
  t.equal(read(name), 'long')
  t.strictSame(['gnu/long', 'by/prefix', 'sized', 'twin', 'far'].map(read), ['gnu', '1', 'abc', '#!', '#!'])
  t.equal(read('here'), read('back'))
  t.equal(readlinkSync(join(at, 'nowhere')), 'not/there')
  t.equal(statSync(join(at, 'twin')).ino, statSync(join(at, 'run')).ino)
  const modes = ['run', 'plain', 'empty'].map((name) => lstatSync(join(at, name)).mode & 0o777)
  t.strictSame(
    modes,
    [0o755, 0o644, 0o755].map((mode) => mode & ~process.umask()),
  )
  t.equal(statSync(at).mode & 0o777, 0o700)
})

t.test('an archive without entries is an empty folder, and a gzip may have several members', async (t) => {
  t.match(await accepted(t, streamOf(tarEnd)), { files: 0, bytes: 0 })
  const whole = tarOf({ name: 'a', body: 'x'.repeat(2000) })
  const members = Buffer.concat([gzipSync(whole.subarray(0, 700)), gzipSync(whole.subarray(700))])
  for (const pieceBytes of [1, 1009]) t.match(await accepted(t, streamOf(members, pieceBytes)), { bytes: 2000 })
})

t.test('a large file passes through little memory', async (t) => {
  const piece = Buffer.alloc(MiB, 'x')
  const { read, asked } = repeated(piece, 128, tarHead({ name: 'large', size: 128 * MiB }))
  async function* whole() {
    yield* read()
    yield tarEnd
  }
  const before = process.memoryUsage().arrayBuffers
  const { at } = await accepted(t, Readable.from(whole()).pipe(createGzip({ level: 1 })))
  t.ok(asked.most - before < 80 * MiB, `${Math.round((asked.most - before) / MiB)} MiB`)
  const hash = createHash('sha256')
  for (let at = 0; at < 128; at++) hash.update(piece)
  t.equal(
    createHash('sha256')
      .update(readFileSync(join(at, 'large')))
      .digest('hex'),
    hash.digest('hex'),
  )
})

t.test('an error of the source, a signal and a folder that is there end it', async (t) => {
  const top = t.testdir({})
  const out = join(top, 'out')
  async function* broken(): AsyncGenerator<Buffer> {
    yield tarOf({ name: 'a', body: 'x'.repeat(2000) }).subarray(0, 1024)
    throw new Error('the line broke')
  }
  await t.rejects(unpack(broken(), out), { message: 'the line broke' })
  async function* zipped(): AsyncGenerator<Buffer> {
    yield gzipSync(tarOf({ name: 'a' })).subarray(0, 20)
    throw new Error('the line broke')
  }
  await t.rejects(unpack(zipped(), out), { message: 'the line broke' }, 'also within a gzip stream')
  const stop = new AbortController()
  let closed = false
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      yield tarHead({ name: 'a', size: 1e9 })
      stop.abort(new Error('no longer wanted'))
      for (;;) yield Buffer.alloc(512)
    } finally {
      closed = true
    }
  }
  await t.rejects(unpack(endless(), out, { signal: stop.signal }), { message: 'no longer wanted' })
  t.ok(closed, 'the source was told')
  t.notOk(existsSync(out))
  writeFileSync(out, 'mine')
  await t.rejects(unpack(streamOf(tarOf({})), out), { code: 'EEXIST' })
  t.equal(readFileSync(out, 'utf8'), 'mine')
  await t.rejects(unpack(streamOf(tarOf({})), join(top, 'no', 'out')), { code: 'ENOENT' })
})

t.test('every reason has its sentence, and a name is fit to print', async (t) => {
  for (const reason of bundleReasons) t.match(new BundleError(reason, 'a').message, /^[a-z].*: a$/)
  t.equal(printableName('a\u001b[31m\n\u202eb\u00fc\u2028'), 'a\\u{1b}[31m\\u{a}\\u{202e}b\u00fc\\u{2028}')
  const short = printableName(`first${'x'.repeat(1000)}last`)
  t.match(short, /^first.*…x*last$/)
  t.equal(short.length, 121)
})
