// What a program was started with beside its standard streams. Its jobs would inherit it too.
import { closeSync, readdirSync, readFileSync } from 'node:fs'

/** O_CLOEXEC, as /proc prints flags: in octal. Node opens all of its own with it. */
const CLOSED_AT_EXEC = 0o2000000

/** Once, as a program begins: closes every descriptor that whoever started it left open. Where there is no /proc, none is known. */
export function closeInherited(): void {
  // A channel to a parent that is Node too cannot be told from the rest, and Node would not survive its end.
  if (process.channel !== undefined) return
  for (const fd of descriptors()) if (fd > 2 && !closesAtExec(fd)) closeSync(fd)
}

function descriptors(): readonly number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number)
  } catch {
    return []
  }
}

function closesAtExec(fd: number): boolean {
  try {
    const flags = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
    return flags === undefined || (Number.parseInt(flags, 8) & CLOSED_AT_EXEC) !== 0
  } catch {
    // It was the one that listed the others.
    return true
  }
}
