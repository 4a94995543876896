// What it costs that nobody but its recipient can read what a job prints: the same 200 MB sealed and plain, and what the cipher and the hash give at best.
import { createHash, randomBytes } from 'node:crypto'
import { FRAME_BYTES } from '../src/seal/frame.ts'
import { makeSealingPair } from '../src/seal/key.ts'
import { loadSodium, type Sodium } from '../src/seal/sodium.ts'
import { makeOpenFolder, removeFolder } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { MB, makeSource, SIZE_BYTES, throughPond } from './printing-job.ts'
import type { BenchOptions } from './run.ts'

/** A stream as long, in memory, in pieces as long as a frame. */
function rateOf(each: (piece: Buffer) => void): Sample {
  const piece = randomBytes(FRAME_BYTES)
  const began = performance.now()
  for (let done = 0; done < SIZE_BYTES; done += piece.length) each(piece)
  return { value: SIZE_BYTES / MB / ((performance.now() - began) / 1000) }
}

function secretstream(sodium: typeof Sodium): Sample {
  const key = sodium.crypto_secretstream_xchacha20poly1305_keygen()
  const { state } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key)
  const tag = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
  return rateOf((piece) => sodium.crypto_secretstream_xchacha20poly1305_push(state, piece, null, tag))
}

function sha256(): Sample {
  const hash = createHash('sha256')
  return rateOf((piece) => hash.update(piece))
}

export async function sealedStream({ runs }: BenchOptions): Promise<void> {
  const folder = makeOpenFolder()
  const source = await makeSource(folder)
  const recipient = await makeSealingPair()
  const sodium = await loadSodium()
  const { sealed, plain, cipher, hash } = await interleave(runs, {
    sealed: () => throughPond(source, recipient),
    plain: () => throughPond(source),
    cipher: async () => secretstream(sodium),
    hash: async () => sha256(),
  })
  await removeFolder(folder)
  const figure = { bench: 'sealed-stream', unit: 'MB/s', own: sealed }
  printFigure({ ...figure, against: { name: 'the same stream, plain', samples: plain } })
  printFigure({ ...figure, against: { name: 'secretstream of libsodium alone', samples: cipher } })
  printFigure({ ...figure, against: { name: 'SHA-256 alone', samples: hash } })
}
