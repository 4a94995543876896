// Durations and sizes as people write and read them.
import t from 'tap'
import { formatAgo, formatDuration, formatTime, parseDuration } from '../../src/cli/duration.ts'
import { formatSize, parseSize } from '../../src/cli/size.ts'

for (const [text, ms] of [
  ['500ms', 500],
  ['10s', 10_000],
  ['1.5h', 5_400_000],
  ['90d', 7_776_000_000],
  ['1h30m', 5_400_000],
] as const) {
  t.equal(parseDuration(text), ms, text)
}
for (const text of ['', '10', 'm', '10 m', '5x', '-1s', '1s!']) t.throws(() => parseDuration(text), /no duration/, text)

for (const [ms, text] of [
  [-5, '0 ms'],
  [850, '850 ms'],
  [12_400, '12 s'],
  [60_000, '1 min'],
  [185_000, '3 min 5 s'],
  [7_800_000, '2 h 10 min'],
  [356_400_000, '4 d 3 h'],
] as const) {
  t.equal(formatDuration(ms), text)
}
t.equal(formatAgo(undefined, 5), 'never')
t.equal(formatAgo(0, 2000), '2 s ago')
t.equal(formatAgo(5000, 2000), '0 ms ago', 'a clock that is ahead')
t.equal(formatTime(0), '1970-01-01T00:00:00Z')

for (const [text, bytes] of [
  ['0', 0],
  ['65536', 65_536],
  ['64KiB', 65_536],
  ['64k', 65_536],
  ['200M', 209_715_200],
  ['1.5 GB', 1_610_612_736],
] as const) {
  t.equal(parseSize(text), bytes, text)
}
for (const text of ['', 'M', '5X', '-1', '1 M B']) t.throws(() => parseSize(text), /no size/, text)
t.equal(formatSize(1023), '1023 B')
t.equal(formatSize(1536), '1.5 KiB')
t.equal(formatSize(5 * 1024 ** 4), '5.0 TiB')
