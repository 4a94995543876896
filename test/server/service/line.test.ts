// Lines of one requirement class: who stands first for whom, and since when.
import t from 'tap'
import {
  behind,
  eldestFor,
  firstFor,
  openClass,
  type Place,
  suits,
  waitingAgain,
} from '../../../server/service/line.ts'
import { jobIdOf, projectIdOf, workerIdOf } from '../../contract/store-row.ts'

const looker = { workerId: workerIdOf(1), now: 100 }

/** Priority, since when it waits, and until when the looker is passed over. */
function classOf(...jobs: readonly (readonly [priority: number, since: number, passed?: number])[]) {
  const of = openClass('{}')
  for (const [index, [priority, since, passed]] of jobs.entries()) {
    const id = jobIdOf(index)
    const passedOver = passed === undefined ? {} : { [looker.workerId]: passed }
    const job = { id, projectId: projectIdOf(1), needs: '{}', priority, since, passedOver }
    of.lines[priority]?.append({ job, number: index + 1 })
  }
  return of
}

const idOf = (place: Place | undefined) => place?.job.id

t.test('the first by priority, the eldest by age, and neither is one that passed the worker over', async (t) => {
  const of = classOf([5, 10], [9, 50, 200], [0, 5], [9, 60], [1, 1, 101], [5, 20])
  t.equal(idOf(firstFor(of, looker)), jobIdOf(3))
  t.equal(idOf(eldestFor(of, looker)), jobIdOf(2))
  t.equal(idOf(eldestFor(of, { ...looker, now: 101 })), jobIdOf(4))
  const order: (string | undefined)[] = []
  for (let place = firstFor(of, looker); place; place = behind(of, place, looker)) order.push(idOf(place))
  t.strictSame(order, [3, 0, 5, 2].map(jobIdOf))
  t.equal(eldestFor(classOf(), looker), undefined)
})

t.test('after a restart a job waits since it came, or since it could be tried again', async (t) => {
  const row = {
    ...{
      id: jobIdOf(1),
      projectId: projectIdOf(1),
      state: 'queued' as const,
      priority: 5,
      needs: '{}',
      passedOver: {},
    },
    createdAt: 7,
  }
  t.equal(waitingAgain(row).since, 7)
  t.equal(waitingAgain({ ...row, notBefore: 9 }).since, 9)
})

t.test('whether a class suits is asked once of each', async (t) => {
  const of = openClass('{"os":"linux"}')
  const means = { labels: {}, resources: { slots: 1 }, os: 'linux' }
  t.ok(suits(of, means))
  t.equal(of.suits.get(means), true)
  t.notOk(suits(of, { ...means, os: 'darwin' }))
})
