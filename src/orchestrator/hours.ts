// Hours of a week as an owner writes them: `mon-fri 18:00-08:00`, `sat,sun`, `22:00-06:00`. In local time, so that they follow its changes.

const days: readonly string[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

export interface Hours {
  /** Of the day on which they begin; 0 is Sunday. */
  readonly days: ReadonlySet<number>
  /** Minutes of the day. `to` at or before `from` is on the next day. */
  readonly from: number
  readonly to: number
}

const DAY_MINUTES = 24 * 60

/** Answers what is wrong in words, where something is. */
export function parseHours(text: string): Hours | string {
  const [, dayText, timeText] = /^\s*([a-z][a-z,-]*)?\s*([0-9][0-9:-]*)?\s*$/i.exec(text) ?? []
  if (dayText === undefined && timeText === undefined) return unreadable(text)
  const on = dayText === undefined ? new Set(days.keys()) : parseDays(dayText.toLowerCase())
  const times = timeText === undefined ? { from: 0, to: DAY_MINUTES } : parseTimes(timeText)
  return on && times ? { days: on, ...times } : unreadable(text)
}

const unreadable = (text: string) =>
  `${JSON.stringify(text)} are no hours; write mon-fri 18:00-08:00, sat,sun or 22:00-06:00`

function parseDays(text: string): ReadonlySet<number> | undefined {
  const found = new Set<number>()
  for (const part of text.split(',')) {
    const [first, last = first, more] = part.split('-').map((one) => days.indexOf(one))
    if (first === undefined || last === undefined || first < 0 || last < 0 || more !== undefined) return undefined
    for (let day = first; ; day = (day + 1) % days.length) {
      found.add(day)
      if (day === last) break
    }
  }
  return found
}

function parseTimes(text: string): { readonly from: number; readonly to: number } | undefined {
  const [, ...numbers] = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(text) ?? []
  const [fromHour = 99, fromMinute = 99, toHour = 99, toMinute = 99] = numbers.map(Number)
  const from = fromHour * 60 + fromMinute
  const to = toHour * 60 + toMinute
  if (fromMinute > 59 || toMinute > 59 || from >= DAY_MINUTES || to > DAY_MINUTES || from === to) return undefined
  return { from, to }
}

/** Whether that moment is within any of them. What begins before midnight and ends behind it belongs to the day on which it began. */
export function isWithin(all: readonly Hours[], now: number): boolean {
  const date = new Date(now)
  const today = date.getDay()
  const yesterday = (today + days.length - 1) % days.length
  const minute = date.getHours() * 60 + date.getMinutes()
  return all.some(({ days: on, from, to }) => {
    if (from < to) return on.has(today) && minute >= from && minute < to
    return (on.has(today) && minute >= from) || (on.has(yesterday) && minute < to)
  })
}

/** `mon 14:05` */
export function localTime(now: number): string {
  const date = new Date(now)
  const two = (count: number) => String(count).padStart(2, '0')
  return `${days[date.getDay()]} ${two(date.getHours())}:${two(date.getMinutes())}`
}
