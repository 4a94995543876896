// Where pond keeps its data: flag, then systemd, then the user's own folder. The only place here that looks at the environment.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

type Env = Readonly<Record<string, string | undefined>>

export function dataHome(env: Env, flag?: string): string {
  if (flag !== undefined) return resolve(flag)
  // systemd names several folders in one variable, apart by colons; the first is ours.
  const state = env.STATE_DIRECTORY?.split(':')[0]
  if (state) return state
  const data = env.XDG_DATA_HOME || join(env.HOME || homedir(), '.local', 'share')
  return join(data, 'pond')
}
