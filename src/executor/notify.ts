// Tells the service manager how swarm fares. By systemd's own program, for Node has no datagrams on unix sockets; nothing else is started here.
import { execa } from 'execa'

/** `absent`: there is no program to tell it with, now or later. */
export type Notified = 'heard' | 'unheard' | 'absent'

/** Facts as sd_notify(3) spells them, such as `READY=1`. Never rejects. */
export type Notify = (facts: readonly string[]) => Promise<Notified>

/** A service manager that takes longer is not listening. */
const NOTIFY_MS = 5000

export function createNotify(socket: string): Notify {
  return async (facts) => {
    const { failed, code } = await execa('systemd-notify', [...facts], {
      env: { NOTIFY_SOCKET: socket },
      stdio: 'ignore',
      timeout: NOTIFY_MS,
      reject: false,
    })
    if (code === 'ENOENT') return 'absent'
    return failed ? 'unheard' : 'heard'
  }
}
