// The golden vectors of sealing: the present code opens what was sealed once and refuses what it must, so that no change of the format passes unseen.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listFiles, root } from '../tidy/source.ts'
import { makeEnvelopeCases, makeKeyCases, makeSignedCases, makeStreamCases } from './make-seal.ts'
import { caseFile, isRight, type SealCase } from './seal-case.ts'

const files = listFiles('test/vector/seal').filter((path) => path.endsWith('.json'))
const casesOf = (path: string) => caseFile.parse(JSON.parse(readFileSync(join(root, path), 'utf8'))).cases

async function wrongOnes(cases: readonly SealCase[]): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const one of cases) if (!(await isRight(one))) wrong.push(`${one.kind}: ${one.what}`)
  return wrong
}

t.test('what was sealed once opens, and what was refused is refused', async (t) => {
  const counts = new Map<string, number>()
  for (const path of files) {
    const cases = casesOf(path)
    t.strictSame(await wrongOnes(cases), [], path)
    for (const { kind, refused } of cases) {
      const name = refused ? `${kind}, refused` : kind
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
  }
  t.strictSame(Object.fromEntries(counts), {
    box: 1,
    'box, refused': 2,
    sealed: 4,
    'sealed, refused': 16,
    custody: 2,
    'custody, refused': 4,
    grant: 2,
    'grant, refused': 9,
    'key text': 2,
    'key text, refused': 8,
    fingerprint: 2,
    stream: 4,
    'stream, refused': 16,
    signed: 3,
    'signed, refused': 6,
    attestation: 2,
    'attestation, refused': 3,
  })
})

t.test('what is made now is as it was made then, wherever nothing in it is random', async (t) => {
  t.same(makeKeyCases(), casesOf('test/vector/seal/key.json'))
  t.same(makeSignedCases(), casesOf('test/vector/seal/signed.json'))
})

t.test('what is made now has the shape of what was made then', async (t) => {
  const shapeOf = (cases: readonly SealCase[]) =>
    cases.map((one) => JSON.stringify(one).replace(/[A-Za-z0-9+/_-]{20,}=*/g, '…'))
  t.same(shapeOf(await makeEnvelopeCases()), shapeOf(casesOf('test/vector/seal/envelope.json')))
  t.same(shapeOf(await makeStreamCases()), shapeOf(casesOf('test/vector/seal/segment.json')))
})

t.test('it can fail', async (t) => {
  const [good, ...others] = casesOf('test/vector/seal/segment.json')
  const refused = others.find((one) => one.refused)
  if (!good || !refused) throw new Error('there are cases of both kinds')
  t.strictSame(await wrongOnes([{ ...good, opens: 'AAAA' }]), ['stream: interrupted twice'])
  t.strictSame(await wrongOnes([{ ...good, what: 'must not open', refused: true }]), ['stream: must not open'])
  t.strictSame((await wrongOnes([{ ...refused, refused: undefined }])).length, 1)
})
