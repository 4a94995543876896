// Which tables stand in which page, and how each is printed from the code. Add a row here to document one more table.
import type { Command } from 'commander'
import { type MetricRow, metricTable } from '../../server/metric.ts'
import {
  printCauseTable,
  printErrorTable,
  printJobStateTable,
  printLimitTable,
  printRouteTable,
} from '../../src/protocol/print.ts'
import { jobTable } from '../../src/state/job.ts'
import { leaseTable } from '../../src/state/lease.ts'
import { streamTable } from '../../src/state/stream.ts'
import { printDiagram } from '../../src/state/table.ts'
import { workerTable } from '../../src/state/worker.ts'
import { builtinMap, folderMap, type PackageRow, packageMap } from './import-map.ts'
import { type Block, printTable } from './page.ts'
import { loadPrograms, verbsOf } from './program.ts'
import { printKeyTexts, printSealContexts, printSealFields, printSealNumbers, printSealTypes } from './seal-page.ts'

const protocolPage = 'src/protocol/README.md'
const sealPage = 'src/seal/README.md'
const frontPage = 'README.md'
const housePage = 'CONTRIBUTING.md'

const fence = (diagram: string) => `\`\`\`mermaid\n${diagram}\n\`\`\``
const code = (text: string | number) => `\`${text}\``

/** Loads the command lines and exit codes late, so that a broken verb fails its own test and not every page. */
export async function loadBlocks(): Promise<readonly Block[]> {
  const { pond, swarm, exitTable } = await loadPrograms()
  return [
    ...staticBlocks,
    { file: frontPage, name: 'pond-cli', print: () => printProgram(pond) },
    { file: frontPage, name: 'swarm-cli', print: () => printProgram(swarm) },
    { file: frontPage, name: 'exit-codes', print: () => printExitTable(exitTable) },
  ]
}

export const staticBlocks: readonly Block[] = [
  { file: protocolPage, name: 'errors', print: printErrorTable },
  { file: protocolPage, name: 'routes', print: printRouteTable },
  { file: protocolPage, name: 'job-states', print: printJobStateTable },
  { file: protocolPage, name: 'causes', print: printCauseTable },
  { file: protocolPage, name: 'limits', print: printLimitTable },
  { file: sealPage, name: 'seal-numbers', print: printSealNumbers },
  { file: sealPage, name: 'seal-fields', print: printSealFields },
  { file: sealPage, name: 'seal-contexts', print: printSealContexts },
  { file: sealPage, name: 'seal-types', print: printSealTypes },
  { file: sealPage, name: 'seal-key-texts', print: printKeyTexts },
  { file: frontPage, name: 'job-diagram', print: () => fence(printDiagram(jobTable, 'queued')) },
  { file: frontPage, name: 'lease-diagram', print: () => fence(printDiagram(leaseTable, 'granted')) },
  { file: frontPage, name: 'stream-diagram', print: () => fence(printDiagram(streamTable, 'open')) },
  { file: frontPage, name: 'worker-diagram', print: () => fence(printDiagram(workerTable, 'ready')) },
  { file: frontPage, name: 'metrics', print: printMetrics },
  { file: frontPage, name: 'dependencies', print: () => printPackages(packageMap, 'Why we carry it') },
  { file: housePage, name: 'imports', print: printFolderMap },
  { file: housePage, name: 'builtins', print: () => printPackages(builtinMap, 'Why only there') },
]

export function printPackages(map: Readonly<Record<string, PackageRow>>, why: string): string {
  const places = (row: PackageRow) => (row.places.length > 0 ? row.places.map(code).join(', ') : 'nowhere')
  return printTable(
    ['Name', 'Imported in', why],
    Object.entries(map).map(([name, row]) => [code(name), places(row), row.why]),
  )
}

export function printMetrics(): string {
  const rows = Object.entries<MetricRow>(metricTable).map(([name, { type, labels, says }]) => [
    code(name),
    type,
    labels.map(code).join(', '),
    says,
  ])
  return printTable(['Name', 'Kind', 'Labels', 'What it says'], rows)
}

export function printFolderMap(): string {
  const list = (places: readonly string[] = []) => places.map(code).join(', ')
  const rows = Object.entries(folderMap).map(([folder, row]) => [
    code(folder),
    `${list(row.mayImport) || 'nothing of ours'}${row.never ? `, never ${list(row.never)}` : ''}`,
    row.why,
  ])
  return printTable(['Folder', 'May import', 'Why'], rows)
}

export function printProgram(program: Command): string {
  const rows = verbsOf(program).map(({ words, command }) => [
    code(
      [
        ...words,
        ...command.registeredArguments.map((one) => (one.required ? `<${one.name()}>` : `[${one.name()}]`)),
      ].join(' '),
    ),
    command.options
      .filter((option) => !option.hidden)
      .map((option) => code(option.flags))
      .join(' '),
    command.description(),
  ])
  return printTable(['Verb', 'Flags', 'What it does'], rows)
}

export function printExitTable(
  table: Readonly<Record<string, { readonly code: number; readonly says: string }>>,
): string {
  return printTable(
    ['Exit code', 'Name', 'Meaning'],
    Object.entries(table).map(([name, row]) => [code(row.code), name, row.says]),
  )
}
