// The store for long runs takes back what failed, and nothing of a neighbour with it.
import t from 'tap'
import type { ProjectRow } from '../../server/store/row.ts'
import { createLastingDatabase } from './memory-lasting.ts'
import { openMemoryStore } from './memory-store.ts'
import { createVirtualClock } from './virtual-clock.ts'

const project = (name: string): ProjectRow => ({ id: `prj_${name}` as ProjectRow['id'], name, weight: 1, createdAt: 1 })

t.test('a work that fails leaves nothing, and its neighbours stay', async (t) => {
  const { database, transaction } = createLastingDatabase()
  const events = { fatal: (error: unknown) => t.fail(String(error)) }
  const store = openMemoryStore(database, { clock: createVirtualClock(), transaction, events })
  await store.write((tx) => tx.insertProject(project('first')))
  const insert = (name: string) => store.write((tx) => tx.insertProject(project(name)))
  const fail = (name: string) =>
    store.write(async (tx) => {
      await tx.insertProject(project(name))
      throw new Error('it does not go on')
    })
  const all = await Promise.allSettled([fail('second'), insert('third'), fail('fourth'), insert('fifth')])
  t.strictSame(
    all.map(({ status }) => status),
    ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
  t.strictSame([...database.rows.projects.keys()], ['prj_first', 'prj_third', 'prj_fifth'])
  await t.rejects(insert('first'), /has this name/)
  t.equal(database.rows.projects.size, 3)
})
