// Where a long-running verb's log goes: stderr, as readable lines on a terminal and as one JSON line each elsewhere.
import type { Log, LogFields } from '../system/log.ts'
import { formatTime } from './duration.ts'
import type { Io } from './io.ts'
import { printable } from './output.ts'

type Level = 'info' | 'warn' | 'error'

export async function createLog({ stderr, clock }: Pick<Io, 'stderr' | 'clock'>): Promise<Log> {
  // A log that cannot be written must not stop what it tells about.
  const write = (text: string) => void stderr.write(text).catch(() => {})
  if (!stderr.isTty) return jsonLog(write, () => clock.now())
  const line =
    (level: Level) =>
    (event: string, fields: LogFields = {}) => {
      const facts = Object.entries(fields).map(([key, value]) => `${key}=${value}`)
      write(`${formatTime(clock.now())} ${level.padEnd(5)} ${printable([event, ...facts].join(' '))}\n`)
    }
  return { info: line('info'), warn: line('warn'), error: line('error') }
}

async function jsonLog(write: (text: string) => void, now: () => number): Promise<Log> {
  const { pino } = await import('pino')
  const options = {
    base: null,
    messageKey: 'event',
    timestamp: () => `,"time":${now()}`,
    formatters: { level: (level: string) => ({ level }) },
  }
  const logger = pino(options, { write })
  const line =
    (level: Level) =>
    (event: string, fields: LogFields = {}) =>
      logger[level](fields, event)
  return { info: line('info'), warn: line('warn'), error: line('error') }
}
