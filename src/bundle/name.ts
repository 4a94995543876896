// Which names a bundle may hold, and when two of them are the same file on some machine. No tree and no disk here.
import { BundleError } from './error.ts'
import type { BundleLimits } from './limit.ts'

/**
 * The steps of an entry's name; none for the folder itself. `tar c .` writes `./` in front and tar writes `/` behind folders;
 * every other empty step, `.` or `..` is refused, not cleaned up: who wrote it either errs or probes.
 */
export function splitName(name: string, isFolder: boolean, limits: BundleLimits): readonly string[] {
  if (isFolder && (name === '.' || name === './')) return []
  let plain = name.startsWith('./') ? name.slice(2) : name
  if (isFolder && plain.endsWith('/')) plain = plain.slice(0, -1)
  if (Buffer.byteLength(plain) > limits.pathBytes) throw new BundleError('name_too_long', name)
  const steps = plain.split('/')
  if (steps.some((step) => ['', '.', '..'].includes(step) || isForeign(step))) throw new BundleError('bad_name', name)
  if (steps.some((step) => Buffer.byteLength(step) > limits.nameBytes)) throw new BundleError('name_too_long', name)
  if (steps.length > limits.pathDepth) throw new BundleError('too_deep', name)
  return steps
}

/** The steps of a symbolic link's target, `..` among them. `link` is the link's own name, for the error. */
export function splitTarget(target: string, link: string, limits: BundleLimits): readonly string[] {
  if (target.startsWith('/')) throw new BundleError('link_escapes', link)
  const steps = target.split('/').filter((step) => step !== '' && step !== '.')
  // As many steps up as a name has steps, and as many down again.
  const isLong = Buffer.byteLength(target) > limits.pathBytes || steps.length > 2 * limits.pathDepth
  if (target === '' || isLong || steps.some(isForeign)) throw new BundleError('bad_link', link)
  return steps
}

/** What means something else elsewhere: another separator, a drive letter, the end of a C string. */
function isForeign(step: string): boolean {
  return step.includes('\\') || step.includes('\0') || /^[a-z]:/i.test(step)
}

/**
 * Equal for steps that some file system takes for one: case is folded, Unicode brought into one form, invisible characters dropped.
 * Lower case before upper case, since only both together fold ẞ, ß and ss, or the three sigmas, into one.
 */
export function foldStep(step: string): string {
  return step
    .normalize('NFD')
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toLowerCase()
    .toUpperCase()
    .normalize('NFD')
}
