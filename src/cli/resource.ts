// What a worker has for its jobs beside slots, in one line.
import type { Resources } from '../protocol/field.ts'
import { formatSize } from './size.ts'

/** Undefined where it tells nothing of the kind. */
export function describeResources({
  cpus,
  memory_bytes,
  disk_bytes,
  gpus = [],
}: Omit<Resources, 'slots'>): string | undefined {
  const parts = [
    ...(cpus === undefined ? [] : [`${cpus} cores`]),
    ...(memory_bytes === undefined ? [] : [`${formatSize(memory_bytes)} of memory`]),
    ...(disk_bytes === undefined ? [] : [`${formatSize(disk_bytes)} of disk`]),
    ...(gpus.length > 0 ? [`GPUs ${gpus.map(({ uuid, model }) => model ?? uuid).join(', ')}`] : []),
  ]
  return parts.length > 0 ? parts.join(', ') : undefined
}
