// What a job sees inside bubblewrap: the system read-only, no home but its own, no process but its own. Only arguments; nothing is started here.
import { existsSync, realpathSync } from 'node:fs'
import type { Box } from './box.ts'

export interface Bubblewrap {
  readonly file: string
  /** Accepted by this version of it. */
  readonly flags: readonly string[]
  /** Folders of which a job sees nothing. */
  readonly hidden: readonly string[]
}

/**
 * Best first. A job that can make no user namespace of its own meets less of the kernel; bubblewrap sees to that since 0.8.
 * It ends with swarm, whatever becomes of swarm.
 */
export const FLAGS: readonly (readonly string[])[] = [
  ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--die-with-parent', '--disable-userns'],
  ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--die-with-parent'],
]

/** Homes of people, and what programs tell each other: a socket in /run (Docker's, a user's D-Bus) would lead out again. */
const HIDDEN = ['/home', '/root', '/run']
/** Names are looked up through the first two; the last is NixOS itself. */
const SHOWN_OF_RUN = ['/run/systemd/resolve', '/run/resolvconf', '/run/current-system']

/** The folders to hide, as far as there are such, outer ones first, so that none is mounted over a later one. */
export function foldersToHide(more: readonly string[]): readonly string[] {
  const real = [...HIDDEN, ...more].filter((path) => existsSync(path)).map((path) => realpathSync(path))
  return [...new Set(real)].filter((path) => path !== '/').sort()
}

/** What a job sees of the machine beside its files. */
export interface Outside {
  readonly network: 'none' | 'host'
  /** Files of GPUs. */
  readonly devices: readonly string[]
}

/**
 * All but the command. The job's own `tmp` stands at /tmp and /var/tmp, where it takes room on the disk and not in memory.
 * The order is the order of mounting.
 */
export function enclose(
  { flags, hidden }: Bubblewrap,
  box: Pick<Box, 'folder' | 'work' | 'tmp'>,
  { network, devices }: Outside,
): string[] {
  return [
    ...flags,
    ...(network === 'none' ? ['--unshare-net'] : []),
    ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...devices.flatMap((path) => ['--dev-bind-try', path, path]),
    ...hidden.flatMap((path) => ['--tmpfs', path]),
    ...SHOWN_OF_RUN.flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--bind', box.tmp, '/tmp', '--bind', box.tmp, '/var/tmp'],
    ...['--bind', box.folder, box.folder, '--chdir', box.work],
  ]
}
