// Who may import what, as data: folders (DESIGN § 7), packages, and built-in modules that reach the world. The check lives in import.ts.

export interface FolderRow {
  /** Folders or files of ours; `a/b` means everything in it, `a/b/contract` one file. Its own folder is always allowed. */
  readonly mayImport: readonly string[]
  /** Taken out of `mayImport` again. */
  readonly never?: readonly string[]
  /** False: no built-in module at all. */
  readonly builtins: boolean
  readonly why: string
}

const both = ['src/protocol', 'src/system'] as const

/** The longest row that holds a file decides. */
export const folderMap: Readonly<Record<string, FolderRow>> = {
  'src/system': { mayImport: [], builtins: true, why: 'the world as small interfaces stands below everything' },
  'src/protocol': {
    mayImport: [],
    builtins: false,
    why: 'the wire is data that a browser or another project can carry, so it knows zod and nothing of ours',
  },
  'src/state': {
    mayImport: ['src/protocol'],
    builtins: false,
    why: 'the law is pure: without clock, I/O and randomness every cell can be tested and replayed',
  },
  'src/seal': { mayImport: both, builtins: true, why: 'crypto stands alone, so that one folder can be reviewed whole' },
  'src/bundle': {
    mayImport: [...both, 'src/seal'],
    builtins: true,
    why: 'an archive is packed and unpacked without a pond in sight, and hostile ones are refused in one folder',
  },
  'src/client': {
    mayImport: [...both, 'src/seal'],
    builtins: true,
    why: 'the one mouth that speaks HTTP serves both command lines and knows neither',
  },
  'src/executor': {
    mayImport: both,
    builtins: true,
    why: 'a plan becomes a process tree without a pond in sight, so that every executor passes one contract',
  },
  'src/orchestrator': {
    mayImport: [...both, 'src/state', 'src/seal', 'src/bundle', 'src/client', 'src/executor'],
    builtins: true,
    why: 'swarm uses the parts below it and never the command line above it',
  },
  'src/cli': {
    mayImport: [...both, 'src/state', 'src/seal', 'src/bundle', 'src/client', 'src/executor', 'src/orchestrator'],
    builtins: true,
    why: 'the command line stands on top; what only the server needs is not on a pool machine',
  },
  src: {
    mayImport: ['src'],
    never: ['src/cli'],
    builtins: false,
    why: 'the barrel names what is public and does nothing',
  },
  'server/store': {
    mayImport: [...both, 'src/state'],
    builtins: true,
    why: 'a store keeps rows; rules live in src/state, and no adapter knows who calls',
  },
  'server/blob': { mayImport: both, builtins: true, why: 'blobs are bytes under a key; nothing here knows a job' },
  'server/service': {
    mayImport: [...both, 'src/state', 'src/seal', 'server/store/contract', 'server/store/row', 'server/blob/contract'],
    never: ['src/seal/open'],
    builtins: true,
    why: 'services see contracts, never an adapter, and never the code that opens what is sealed to others',
  },
  'server/http': {
    mayImport: [...both, 'server/service', 'server/store/contract', 'server/store/row', 'server/blob/contract'],
    builtins: true,
    why: 'the front turns HTTP into calls of services and holds no rule of its own',
  },
  'server/cli': {
    mayImport: [
      ...both,
      'server',
      'src/cli/io',
      'src/cli/output',
      'src/cli/exit-code',
      'src/cli/failure',
      'src/cli/duration',
      'src/cli/size',
      'src/cli/serve-flag',
    ],
    builtins: true,
    why: 'serve and backup print and exit like every other verb, so they share those files of src/cli and no more',
  },
  server: {
    mayImport: [...both, 'src/state', 'src/seal', 'server'],
    never: ['server/cli', 'src/seal/open'],
    builtins: true,
    why: 'createPond joins the parts of the server; a command line is none of them',
  },
  bin: {
    mayImport: ['src', 'server'],
    builtins: true,
    why: 'the only place that knows both sides',
  },
}

export interface PackageRow {
  /** Where it may be imported; empty for what another package loads by itself. */
  readonly places: readonly string[]
  /** One line for the README: why we carry it. */
  readonly why: string
}

/** Every runtime dependency of package.json, and the only places that may know it. */
export const packageMap: Readonly<Record<string, PackageRow>> = {
  '@clack/prompts': { places: ['src/cli'], why: 'asks questions on a terminal; loaded only when there is one' },
  '@fastify/cors': { places: ['server/http'], why: 'lets the pages of named origins call' },
  '@photostructure/sqlite': {
    places: ['server/store/sqlite'],
    why: 'SQLite with binaries in the package, in the shape of node:sqlite, which can replace it one day',
  },
  canonicalize: {
    places: ['src/protocol', 'src/seal', 'src/client', 'src/orchestrator', 'server/service'],
    why: 'RFC 8785 JSON: the exact bytes of a job',
  },
  'cli-table3': { places: ['src/cli'], why: 'tables on a terminal' },
  commander: { places: ['src/cli', 'server/cli', 'bin'], why: 'verbs, flags and help of both command lines' },
  conf: { places: ['src/cli', 'src/orchestrator'], why: 'small state files, written atomically with mode 0600' },
  execa: { places: ['src/executor'], why: 'starts processes in their own group with an environment of our choice' },
  fastify: { places: ['server/http'], why: 'the HTTP server, with limits and timeouts that hold' },
  helmet: { places: ['server/http'], why: 'the security headers of every reply that a browser may see' },
  'libsodium-wrappers': { places: ['src/seal'], why: 'sealed boxes and secretstream; no home-made crypto' },
  'light-my-request': {
    places: [],
    why: 'fastify loads it; pinned so that Node 20 installs without an engine warning',
  },
  'p-queue': { places: ['src/orchestrator'], why: 'the slots of a swarm' },
  picocolors: { places: ['src/cli'], why: 'colour, only on a terminal' },
  picomatch: { places: ['src/orchestrator'], why: 'the globs of artifacts, in the dialect that people know' },
  pino: { places: ['src/cli', 'server/cli', 'server/http', 'bin'], why: 'logs as one JSON line each' },
  'prom-client': {
    places: ['server/metrics'],
    why: 'what happens in a pond as figures for Prometheus; loaded only where they are asked for',
  },
  ulid: { places: ['src/system'], why: 'ids that sort by time' },
  undici: { places: ['src/client'], why: 'the HTTP client; five times faster than the built-in fetch' },
  zod: {
    places: ['src/protocol', 'src/seal', 'src/client', 'src/orchestrator', 'src/cli', 'server'],
    why: 'schemas as data, parsed once at the edge',
  },
}

/** Built-in modules that reach the world, and the only places that may. All other built-ins follow the folder's row. */
export const builtinMap: Readonly<Record<string, PackageRow>> = {
  'node:child_process': {
    places: ['src/executor'],
    why: 'processes are started in one folder, where they are also killed',
  },
  'node:http': {
    places: ['server/http', 'src/client', 'src/orchestrator/control'],
    why: 'one mouth, one front and control.sock speak HTTP; pond dials nobody',
  },
  'node:https': { places: ['server/http', 'src/client'], why: 'one mouth and one front speak HTTP; pond dials nobody' },
  'node:http2': { places: [], why: 'the wire is HTTP/1.1' },
  'node:net': {
    places: ['src/executor', 'src/orchestrator', 'src/cli', 'server/http'],
    why: 'only control.sock, the front and the pipes of processes need sockets; pond opens no connection to anyone',
  },
  'node:tls': { places: ['src/client', 'server/http'], why: 'TLS belongs to the mouth and to the front' },
  'node:dgram': { places: [], why: 'nothing here speaks UDP' },
  'node:dns': { places: [], why: 'names are resolved by the HTTP client' },
  'node:timers': { places: ['src/system'], why: 'waits come from the Clock, so that a test can drive them' },
  'node:timers/promises': { places: ['src/system'], why: 'waits come from the Clock, so that a test can drive them' },
  'node:process': { places: ['bin'], why: 'streams, signals and environment are handed in from bin' },
  'node:sqlite': { places: ['server/store/sqlite'], why: 'SQL stays in the adapter' },
}
