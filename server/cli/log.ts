// Pond's log on stderr by pino: one JSON object a line, warnings and worse unless POND_LOG says otherwise.
import { pino } from 'pino'
import type { Io } from '../../src/cli/io.ts'
import type { Log } from '../../src/system/log.ts'

export function createLog(io: Pick<Io, 'env' | 'stderr'>): Log {
  const logger = pino(
    { level: io.env.POND_LOG ?? 'warn', base: null },
    { write: (line: string) => void io.stderr.write(line).catch(() => {}) },
  )
  return {
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  }
}
