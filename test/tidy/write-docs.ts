// Rewrites every generated block of every page from the code: `npm run docs`.
import { loadBlocks } from './block.ts'
import { writeGenerated } from './page.ts'

for (const block of await loadBlocks()) {
  writeGenerated(block)
  process.stdout.write(`${block.file}: ${block.name}\n`)
}
