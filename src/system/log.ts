// The log as an interface: facts as data, no secrets. Where lines go is decided in bin.

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export const silentLog: Log = { info() {}, warn() {}, error() {} }
