// A pond behind nginx, which ends TLS and cuts what is idle long before a poll or a reader would end by itself.
import t from 'tap'
import { runProxy } from '../soak/tls-proxy.ts'

t.test('jobs go through a proxy that cuts what is idle, and the hold of a poll adapts to it', async (t) => {
  const { faults, cuts, holdMs } = await runProxy({ idleSeconds: 7, jobs: 2 })
  t.strictSame(faults, [])
  t.comment(`${cuts} polls were cut, then the hold was ${holdMs} ms`)
})
