// Whose turn it is: the owner's ladder, then priority, then fair share, then who came first; and what is never urgent ends too.
import fc from 'fast-check'
import t from 'tap'
import { Choice, type Taken, type Taker } from '../../../server/service/choice.ts'
import { type Ladder, ownLadder } from '../../../server/service/ladder.ts'
import { type Waiting, waitingOf } from '../../../server/service/line.ts'
import { aheadOf } from '../../../server/service/precedence.ts'
import { Queue } from '../../../server/service/queue.ts'
import { Shares } from '../../../server/service/share.ts'
import type { ProjectId } from '../../../src/protocol/id.ts'
import { nothing } from '../../../src/state/room.ts'
import { bindingIdOf, jobRow, projectIdOf, workerIdOf } from '../../contract/store-row.ts'

const [own, friend, stranger] = [projectIdOf(1), projectIdOf(2), projectIdOf(3)]
const shared: Ladder = { own, friends: new Set([friend]), isPublic: true }
const equals: Ladder = { own: projectIdOf(9), friends: new Set([own, friend, stranger]), isPublic: false }

let last = 0
const waiting = (projectId: ProjectId, more: Partial<Waiting> = {}): Waiting => {
  last += 1
  return { ...waitingOf(jobRow(last)), projectId, since: 0, ...more }
}

/** A pool of one binding: who holds how much of it is told here. */
function createPool(ladder: Ladder, mayStart = (_: ProjectId) => Number.POSITIVE_INFINITY) {
  const units = new Map<ProjectId, number>()
  const shares = new Shares(() => new Map(units))
  const queue = new Queue()
  const choice = new Choice({ queue, shares, mayStart })
  const taker = (slots: number, now = 0): Taker => ({
    ...{ workerId: workerIdOf(1), bindingId: bindingIdOf(1), ladder, now },
    ended: new Set(),
    means: { labels: {}, resources: { slots: 64 } },
    room: { slots, milliCpus: 0, memoryBytes: 0, diskBytes: 0, gpus: [] },
  })
  const count = (projectId: ProjectId, more: number) => units.set(projectId, (units.get(projectId) ?? 0) + more)
  return {
    queue,
    choice,
    shares,
    fill(projectId: ProjectId, jobs: number) {
      for (let index = 0; index < jobs; index++) queue.add(waiting(projectId))
    },
    take(slots: number, now?: number): readonly Taken[] {
      const taken = choice.take(taker(slots, now))
      for (const { job } of taken) count(job.projectId, 1)
      return taken
    },
    peek: (slots: number) => choice.peek(taker(slots)),
    before(job: Waiting) {
      const place = queue.placeOf(job)
      return place ? choice.before(taker(0), place) : []
    },
    end({ job }: Taken, ms: number) {
      count(job.projectId, -1)
      shares.settle({ bindingId: bindingIdOf(1), projectId: job.projectId, held: nothing }, ms)
    },
  }
}

const projectsOf = (taken: readonly Taken[]) => taken.map(({ job }) => job.projectId)

t.test("its own project's jobs come first, then its friends', then everybody's, whatever their priority", async (t) => {
  const { queue, take } = createPool(shared)
  queue.add(waiting(stranger, { priority: 9 }))
  queue.add(waiting(friend, { priority: 9 }))
  queue.add(waiting(own, { priority: 0 }))
  t.strictSame(projectsOf(take(3)), [own, friend, stranger])
  const alone = createPool(ownLadder(own))
  alone.fill(stranger, 1)
  t.strictSame(alone.take(3), [])
})

t.test('ten jobs behind a hundred thousand of another project start at once', async (t) => {
  const { fill, take, end } = createPool(equals)
  fill(own, 100_000)
  let running = [...take(8)]
  fill(friend, 10)
  const begun: ProjectId[] = []
  // One after the other ends, and its slot is given anew.
  for (let turn = 0; turn < 16; turn++) {
    const over = running.shift()
    if (over) end(over, 1000)
    const next = take(1)
    begun.push(...projectsOf(next))
    running = [...running, ...next]
  }
  const first = begun.slice(0, 8).filter((id) => id === friend).length
  t.equal(first, 7, 'what comes free is theirs until both had as much')
  t.equal(begun.filter((id) => id === friend).length, 10)
})

t.test('by weight, measured over time', async (t) => {
  const { shares, fill, take, end } = createPool(equals)
  shares.setWeight(own, 300)
  fill(own, 1000)
  fill(friend, 1000)
  fill(stranger, 1000)
  const had = new Map<ProjectId, number>()
  let running = [...take(4)]
  for (let turn = 0; turn < 1000; turn++) {
    const [over, ...rest] = running
    if (!over) break
    // The attempts of one are twice as long as those of the others.
    const ms = over.job.projectId === stranger ? 2000 : 1000
    had.set(over.job.projectId, (had.get(over.job.projectId) ?? 0) + ms)
    end(over, ms)
    running = [...rest, ...take(1)]
  }
  const whole = [...had.values()].reduce((sum, ms) => sum + ms, 0)
  const partOf = (id: ProjectId) => Math.round((100 * (had.get(id) ?? 0)) / whole)
  t.ok(Math.abs(partOf(own) - 60) <= 1, `${partOf(own)} of 60`)
  t.ok(Math.abs(partOf(friend) - 20) <= 1, `${partOf(friend)} of 20`)
  t.ok(Math.abs(partOf(stranger) - 20) <= 1, `${partOf(stranger)} of 20`)
})

t.test('who asked for nothing saved nothing, and who had more while alone owes nothing', async (t) => {
  const { fill, take, end } = createPool(equals)
  fill(own, 300)
  for (let turn = 0; turn < 100; turn++) for (const one of take(1)) end(one, 1000)
  fill(friend, 100)
  const begun: ProjectId[] = []
  for (let turn = 0; turn < 20; turn++) {
    for (const one of take(1)) {
      begun.push(one.job.projectId)
      end(one, 1000)
    }
  }
  t.equal(begun.filter((id) => id === friend).length, 10)
  t.equal(begun[0], friend, 'on a level the one that was served least lately is next')
})

t.test('one of ten is the one that waits longest, once that is long', async (t) => {
  const { queue, take } = createPool(ownLadder(own))
  for (let index = 0; index < 40; index++) queue.add(waiting(own, { priority: 9, since: 500_000 }))
  for (let index = 0; index < 4; index++) queue.add(waiting(own, { priority: 0, since: 1 }))
  const low = (taken: readonly Taken[]) => taken.filter(({ job }) => job.priority === 0).length
  t.equal(low(take(20, 600_000)), 0, 'not before')
  t.equal(low(take(20, 600_001)), 2)
})

t.test('a project that may start no more leaves its turn to others', async (t) => {
  const left = new Map([[own, 2]])
  const { fill, take, queue, choice } = createPool(equals, (id) => left.get(id) ?? Number.POSITIVE_INFINITY)
  fill(own, 5)
  fill(friend, 5)
  t.strictSame(projectsOf(take(10)).filter((id) => id === own).length, 2)
  left.set(own, 0)
  t.strictSame(take(10), [])
  t.notOk(choice.isOpen(own))
  t.equal(queue.size(own), 3)
})

t.test('looking ahead takes nothing', async (t) => {
  const { fill, take, peek } = createPool(equals)
  fill(own, 3)
  fill(friend, 3)
  const seen = peek(4).map(({ job }) => job.id)
  t.strictSame(
    peek(4).map(({ job }) => job.id),
    seen,
  )
  t.strictSame(
    take(4).map(({ job }) => job.id),
    seen,
  )
})

const queued = fc.record({
  projectId: fc.constantFrom(own, friend, stranger),
  priority: fc.integer({ min: 3, max: 5 }),
  needs: fc.constantFrom('{}', '{"cpus":0}', '{"labels":{"never":"here"}}'),
})

t.test('what is told to come before a job is what a worker takes before it, and to look changes nothing', async () => {
  fc.assert(
    fc.property(
      fc.array(queued, { minLength: 1, maxLength: 30 }),
      fc.constantFrom(shared, equals, ownLadder(own)),
      fc.nat(),
      (all, ladder, which) => {
        const [seen, unseen] = [createPool(ladder), createPool(ladder)]
        const jobs = all.map((one) => waiting(one.projectId, one))
        for (const job of jobs) for (const { queue } of [seen, unseen]) queue.add(job)
        for (const { take } of [seen, unseen]) take(2)
        const job = jobs[which % jobs.length]
        const before = job && seen.queue.placeOf(job) ? seen.before(job) : []
        seen.peek(5)
        const order = seen.take(64).map(({ job: { id } }) => id)
        const plain = unseen.take(64).map(({ job: { id } }) => id)
        if (order.join() !== plain.join()) return false
        const place = job ? order.indexOf(job.id) : -1
        if (place < 0) return true
        const { count, isLeast } = aheadOf(before)
        return isLeast ? count <= place : count === place
      },
    ),
    { numRuns: 500 },
  )
})
