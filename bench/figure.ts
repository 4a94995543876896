// Figures: samples of several runs become one JSON line on stdout. Nothing here measures.

/** One run of one contender: its value, and what else is worth printing beside it. */
export interface Sample {
  readonly value: number
  readonly extras?: Readonly<Record<string, number>>
}

export type Contenders = Readonly<Record<string, () => Promise<Sample>>>
export type Samples<C extends Contenders> = { readonly [K in keyof C]: readonly Sample[] }

/** Runs the contenders in turn, so that whatever else the machine does meets all of them. */
export async function interleave<C extends Contenders>(runs: number, contenders: C): Promise<Samples<C>> {
  const names = Object.keys(contenders)
  const samples: Record<string, Sample[]> = Object.fromEntries(names.map((name) => [name, []]))
  for (let run = 1; run <= runs; run++) {
    for (const name of names) {
      const sample = await contenders[name]?.()
      if (!sample) continue
      samples[name]?.push(sample)
      note(`run ${run} of ${runs}: ${name} ${rounded(sample.value)} ${JSON.stringify(sample.extras ?? {})}`)
    }
  }
  return samples as unknown as Samples<C>
}

export interface FigureParts {
  readonly bench: string
  readonly unit: string
  readonly own: readonly Sample[]
  readonly against?: { readonly name: string; readonly samples: readonly Sample[] }
  /** What tells this line from others of its bench. */
  readonly facts?: Readonly<Record<string, string | number>>
}

/** One line. The ratio is the median of the ratios of each run, since two runs may have met two different machines. */
export function printFigure({ bench, unit, own, against, facts = {} }: FigureParts): void {
  const values = own.map((sample) => sample.value)
  const line = {
    bench,
    ...facts,
    value: rounded(median(values)),
    unit,
    runs: own.length,
    min: rounded(Math.min(...values)),
    max: rounded(Math.max(...values)),
    ...(against && {
      against: { name: against.name, value: rounded(median(against.samples.map((sample) => sample.value))) },
      ratio: rounded(median(values.map((value, run) => value / (against.samples[run]?.value ?? Number.NaN)))),
    }),
    ...medianExtras(own),
    ...prefixed('against_', medianExtras(against?.samples ?? [])),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function medianExtras(samples: readonly Sample[]): Record<string, number> {
  const names = Object.keys(samples[0]?.extras ?? {})
  const valuesOf = (name: string) => samples.map((sample) => sample.extras?.[name] ?? Number.NaN)
  return Object.fromEntries(names.map((name) => [name, rounded(median(valuesOf(name)))]))
}

function prefixed(prefix: string, record: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [prefix + name, value]))
}

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** By nearest rank. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN
}

/** Three digits say all that five runs know. */
const rounded = (value: number) => Number(value.toPrecision(3))

/** Progress, for the person who waits. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
