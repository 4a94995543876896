// A job with real work: hashes and compresses every file of a folder, tells its progress on stderr, and leaves a result.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

const [folder = '.'] = process.argv.slice(2)

const entries = await readdir(folder, { recursive: true, withFileTypes: true })
const files = entries
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .sort()
const tree = createHash('sha256')
let bytes = 0
let packed = 0
let shown = 0

for (const [index, file] of files.entries()) {
  const hash = createHash('sha256')
  const counted = new Writable({
    write(chunk, _encoding, done) {
      packed += chunk.length
      done()
    },
  })
  const hashed = async function* (source) {
    for await (const chunk of source) {
      hash.update(chunk)
      bytes += chunk.length
      yield chunk
    }
  }
  await pipeline(createReadStream(file), hashed, createGzip(), counted)
  tree.update(`${hash.digest('hex')}  ${file.slice(folder.length)}\n`)
  const tenth = Math.floor(((index + 1) / files.length) * 10)
  if (tenth > shown) console.error(`${tenth * 10} % (${index + 1} of ${files.length} files)`)
  shown = Math.max(shown, tenth)
}

const result = { files: files.length, bytes, packed, sha256: tree.digest('hex') }
console.log(`${result.files} files, ${bytes} bytes, ${packed} after gzip`)
console.log(`sha256 of the tree: ${result.sha256}`)
if (process.env.POND_RESULT) await writeFile(process.env.POND_RESULT, JSON.stringify(result))
