// Who fetched which bundle: remembered within limits, and it decides among equals.
import t from 'tap'
import { BundleSites } from '../../../server/service/bundle-site.ts'
import { workerIdOf } from '../../contract/store-row.ts'

t.test('the workers that fetched a bundle lately are known, and not for ever', async (t) => {
  const sites = new BundleSites()
  for (let number = 1; number <= 70; number++) sites.fetched('a', workerIdOf(number))
  sites.fetched('a', workerIdOf(7))
  t.equal(sites.of('a').size, 64)
  t.ok(sites.of('a').has(workerIdOf(7)))
  t.notOk(sites.of('a').has(workerIdOf(6)))
  for (let number = 0; number < 1024; number++) sites.fetched(`b${number}`, workerIdOf(1))
  t.equal(sites.of('a').size, 0)
  t.equal(sites.of('b0').size, 1)
})
