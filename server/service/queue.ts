// The queue in memory: ids of jobs that could be claimed now. Jobs with equal needs are of one requirement class, and each class has a line for each priority
// of its project. So a worker looks at the heads of the classes that suit it and never past what does not, however much waits. It mirrors committed rows; the
// row decides. An array stands in its line as one, while there is an element that may be taken.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { Needs } from '../../src/state/match.ts'
import {
  type Cursor,
  elementsNow,
  jobsIn,
  type Line,
  openClass,
  type Place,
  PRIORITIES,
  type RequirementClass,
  readNeeds,
  type Waiting,
} from './line.ts'

interface Counted {
  readonly projectId: ProjectId
  readonly needs: Needs
  queued: number
  readonly priorities: Record<string, number>
}

export class Queue {
  readonly #projects = new Map<ProjectId, Map<string, RequirementClass>>()
  readonly #sizes = new Map<ProjectId, number>()
  /** Those that stand outside too. */
  readonly #arrays = new Map<JobId, Place>()
  #last = 0

  /** Puts a job at the end of its line; one that stands there already keeps its place. */
  add(job: Waiting): void {
    if (job.array) {
      this.#addArray(job, job.array)
      return
    }
    const of = this.#classOf(job)
    const line = lineOf(of, job)
    const known = line.get(job.id)
    if (known) {
      line.replace({ ...known, job })
      return
    }
    this.#last += 1
    line.append({ job, number: this.#last })
    this.#count(job.projectId, of, 1)
  }

  /** Takes a job out, or one more element of an array. */
  take(place: Place): void {
    const { job } = place
    if (!job.array) {
      this.remove(job)
      return
    }
    job.array.inFlight += 1
    this.#refresh(place)
  }

  /** An element that was taken is a row of its own now, or it was not drawn. */
  drawn(id: JobId): void {
    const place = this.#arrays.get(id)
    if (!place?.job.array) return
    place.job.array.inFlight -= 1
    this.#refresh(place)
  }

  /** Whoever declined one element gets no other of that array meanwhile. */
  passOver(id: JobId, workerId: WorkerId, until: number): void {
    const place = this.#arrays.get(id)
    if (!place) return
    const job = { ...place.job, passedOver: { ...place.job.passedOver, [workerId]: until } }
    const passing = { ...place, job }
    this.#arrays.set(id, passing)
    if (this.stands(place)) this.#lineFor(job)?.replace(passing)
  }

  /** As if it had not been taken. */
  putBack(place: Place): void {
    if (!place.job.array) this.#restore(place)
  }

  remove({ id, projectId, priority, needs }: Pick<Waiting, 'id' | 'projectId' | 'priority' | 'needs'>): void {
    this.#arrays.delete(id)
    const of = this.#projects.get(projectId)?.get(needs)
    const line = of?.lines[priority]
    if (of && line?.get(id)) this.#leave(projectId, of, () => line.delete(id))
  }

  size(projectId: ProjectId): number {
    return this.#sizes.get(projectId) ?? 0
  }

  projects(): Iterable<ProjectId> {
    return this.#projects.keys()
  }

  classesOf(projectId: ProjectId): Iterable<RequirementClass> {
    return this.#projects.get(projectId)?.values() ?? []
  }

  stands({ job }: Place): boolean {
    return this.#find(job) !== undefined
  }

  /** Every job that waits for a worker, by class, with each element of an array that has not begun, also of one that is at its `max_parallel`. */
  census(): { readonly total: number; readonly classes: readonly Counted[] } {
    const classes = new Map<string, Counted>()
    let total = 0
    const count = ({ projectId, needs, priority }: Pick<Waiting, 'projectId' | 'needs' | 'priority'>, jobs: number) => {
      if (jobs === 0) return
      const name = `${projectId} ${needs}`
      const of = classes.get(name) ?? { projectId, needs: readNeeds(needs), queued: 0, priorities: {} }
      classes.set(name, of)
      of.queued += jobs
      of.priorities[priority] = (of.priorities[priority] ?? 0) + jobs
      total += jobs
    }
    for (const [projectId, all] of this.#projects) {
      for (const { name: needs, lines } of all.values()) {
        for (const [priority, { size }] of lines.entries()) count({ projectId, needs, priority }, size)
      }
    }
    for (const place of this.#arrays.values()) count(place.job, jobsIn(place.job) - (this.stands(place) ? 1 : 0))
    return { total, classes: [...classes.values()] }
  }

  /** Where a job stands; an array also while it stands outside. */
  placeOf(job: Waiting): Place | undefined {
    return this.#arrays.get(job.id) ?? this.#find(job)
  }

  classOf({ projectId, needs }: Waiting): RequirementClass | undefined {
    return this.#projects.get(projectId)?.get(needs)
  }

  #find(job: Waiting): Place | undefined {
    return this.#lineFor(job)?.get(job.id)
  }

  #lineFor({ projectId, needs, priority }: Waiting): Line | undefined {
    return this.#projects.get(projectId)?.get(needs)?.lines[priority]
  }

  #addArray(job: Waiting, { tally }: Cursor): void {
    const known = this.#arrays.get(job.id)
    if (known?.job.array) known.job.array.tally = tally
    else this.#last += 1
    const place = known ?? { job, number: this.#last }
    this.#arrays.set(job.id, place)
    this.#refresh(place)
  }

  /** An array of which nothing may be taken now stands in no line. */
  #refresh(place: Place): void {
    const { job } = place
    const has = job.array !== undefined && elementsNow(job.array) > 0
    const of = this.#projects.get(job.projectId)?.get(job.needs)
    if (has) this.#restore(place)
    else if (of && this.stands(place)) this.#leave(job.projectId, of, () => lineOf(of, job).delete(job.id))
  }

  #restore(place: Place): void {
    const of = this.#classOf(place.job)
    const line = lineOf(of, place.job)
    if (line.get(place.job.id)) return
    line.restore(place)
    this.#count(place.job.projectId, of, 1)
  }

  #leave(projectId: ProjectId, of: RequirementClass, leave: () => void): void {
    leave()
    this.#count(projectId, of, -1)
    if (of.size === 0) this.#projects.get(projectId)?.delete(of.name)
  }

  #classOf({ projectId, needs }: Waiting): RequirementClass {
    const classes = this.#projects.get(projectId) ?? new Map<string, RequirementClass>()
    this.#projects.set(projectId, classes)
    const known = classes.get(needs)
    if (known) return known
    const made = openClass(needs)
    classes.set(needs, made)
    return made
  }

  #count(projectId: ProjectId, of: RequirementClass, more: 1 | -1): void {
    of.size += more
    this.#sizes.set(projectId, this.size(projectId) + more)
  }
}

function lineOf(of: RequirementClass, { priority }: Waiting): Line {
  const line = of.lines[priority]
  if (!line) throw new Error(`a priority is 0 to ${PRIORITIES - 1}, not ${priority}`)
  return line
}
