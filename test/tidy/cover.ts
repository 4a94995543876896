// Sources without a test of their own name, and the test that holds each.
export interface CoverRow {
  readonly test: string
  readonly covers: readonly string[]
  readonly why: string
}

const SQLITE =
  'binding bundle claim column connection credential dead dependency driver job lately project record schema stop tx use worker'.split(
    ' ',
  )

/** Sources that a test file of another name holds. Few fat files beat many thin ones, but they must reach what they claim. */
export const coverTable: readonly CoverRow[] = [
  {
    test: 'test/server/service/drain.test.ts',
    covers: ['server/service/directive.ts'],
    why: 'what is told depends on the poll that asks and on what it was told before',
  },
  {
    test: 'test/bundle/unpack.test.ts',
    covers: ['cursor', 'error', 'gzip', 'tree'].map((name) => `src/bundle/${name}.ts`),
    why: 'what they refuse shows in archives that are refused whole',
  },
  {
    test: 'test/bundle/reader.test.ts',
    covers: ['src/bundle/block.ts'],
    why: 'a block means something only in an archive that is read',
  },
  {
    test: 'test/bundle/pack.test.ts',
    covers: ['src/bundle/scan.ts'],
    why: 'looking a folder over is the first half of packing it',
  },
  {
    test: 'test/orchestrator/attempt.test.ts',
    covers: ['ending', 'last-word', 'plan'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'they are stages of one claim, and only a whole claim shows that they fit',
  },
  {
    test: 'test/orchestrator/privacy.test.ts',
    covers: ['encoder', 'left-output'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'what is sealed on its way into a spool is judged by who opens it, also after a crash',
  },
  {
    test: 'test/orchestrator/words.test.ts',
    covers: ['src/orchestrator/statement.ts'],
    why: 'a statement is made of the words of one call',
  },
  {
    test: 'test/orchestrator/swarm.test.ts',
    covers: ['bell', 'drain', 'holding', 'snapshot'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'they decide when a whole swarm acts, and have no result of their own',
  },
  {
    test: 'test/orchestrator/gate.test.ts',
    covers: ['src/orchestrator/rule-file.ts'],
    why: 'the gate is what reads the rules again and again',
  },
  {
    test: 'test/orchestrator/pair.test.ts',
    covers: ['home', 'key'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'pairing is what writes the home and makes the keys',
  },
  {
    test: 'test/orchestrator/supply.test.ts',
    covers: ['credential', 'grant', 'supplier'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'what a claim may open shows in what its job is given',
  },
  {
    test: 'test/orchestrator/renewal.test.ts',
    covers: ['binding', 'live-binding', 'rotation'].map((name) => `src/orchestrator/${name}.ts`),
    why: 'keys and tokens are what they are worth only across lives of a swarm',
  },
  {
    test: 'test/cli/pool/worker.test.ts',
    covers: ['src/cli/pool/key.ts'],
    why: 'both are about the keys of the workers of one machine',
  },
  {
    test: 'test/orchestrator/journal.test.ts',
    covers: ['src/orchestrator/journal-entry.ts'],
    why: 'a line means something only when the journal reads it again',
  },
  {
    test: 'test/client/client.test.ts',
    covers: ['decode', 'explain'].map((name) => `src/client/${name}.ts`),
    why: 'what is decoded and why a call came to nothing shows in the answers of the client',
  },
  {
    test: 'test/cli/consumer/run.test.ts',
    covers: ['follow', 'stream', 'waiting', 'watch', 'consumer/interrupt', 'consumer/job-spec'].map(
      (name) => `src/cli/${name}.ts`,
    ),
    why: 'following a job is one story of held calls, cuts and signals',
  },
  {
    test: 'test/cli/bundle/send.test.ts',
    covers: ['memory', 'progress', 'upload'].map((name) => `src/cli/bundle/${name}.ts`),
    why: 'they are stages of one transfer, and only a whole one shows that it goes on',
  },
  {
    test: 'test/cli/trust/opened-stream.test.ts',
    covers: ['attested', 'opening', 'private'].map((name) => `src/cli/trust/${name}.ts`),
    why: 'opening is one chain of proofs, and a refusal is seen at its end',
  },
  {
    test: 'test/cli/consumer/trust.test.ts',
    covers: [
      ...['consumer/identity', 'consumer/trust-program'],
      ...['confirm', 'entry', 'identity', 'pond-key', 'store'].map((name) => `trust/${name}`),
    ].map((name) => `src/cli/${name}.ts`),
    why: 'what is trusted shows in what is asked, kept and refused',
  },
  {
    test: 'test/cli/consumer/recipient.test.ts',
    covers: ['src/cli/trust/recipient.ts'],
    why: 'the pinned list shows in the recipients of the next job',
  },
  {
    test: 'test/cli/consumer/credential.test.ts',
    covers: ['consumer/credential-value', 'trust/custody', 'trust/signing'].map((name) => `src/cli/${name}.ts`),
    why: 'where a value came from, and for whom it is, shows in what is sealed and signed',
  },
  {
    test: 'test/cli/consumer/replay.test.ts',
    covers: ['src/cli/consumer/dead.ts'],
    why: 'what is listed is what is replayed',
  },
  {
    test: 'test/cli/consumer/logs.test.ts',
    covers: ['tail', 'timestamp'].map((name) => `src/cli/${name}.ts`),
    why: 'they are two flags of pond logs',
  },
  {
    test: 'test/cli/consumer/show.test.ts',
    covers: ['cancel', 'login', 'ps', 'result', 'submit', 'whoami', 'workers'].map(
      (name) => `src/cli/consumer/${name}.ts`,
    ),
    why: 'a short verb is one call and one print',
  },
  {
    test: 'test/cli/operator/program.test.ts',
    covers: 'audit binding enrollment key label label-flag pairing pond-key project stats worker'
      .split(' ')
      .map((name) => `src/cli/operator/${name}.ts`),
    why: 'a short verb is one call and one print, so a table of them says more',
  },
  {
    test: 'test/cli/pool/pair.test.ts',
    covers: ['control', 'doctor', 'home', 'run'].map((name) => `src/cli/pool/${name}.ts`),
    why: 'they are the life of one binding on one machine',
  },
  {
    test: 'test/cli/pond.test.ts',
    covers: ['failure', 'flag', 'main', 'serve-flag', 'session', 'swarm', 'consumer/program'].map(
      (name) => `src/cli/${name}.ts`,
    ),
    why: 'flags, usage errors and failures are seen on the whole program',
  },
  {
    test: 'test/cli/duration.test.ts',
    covers: ['src/cli/size.ts'],
    why: 'both are tables of texts and numbers',
  },
  {
    test: 'test/cli/system-io.test.ts',
    covers: ['src/cli/log.ts'],
    why: 'both turn what a verb says into bytes',
  },
  {
    test: 'test/server/http/matrix.test.ts',
    covers: ['http/answer', 'http/caller', 'http/handler', 'http/message', 'pond'].map((name) => `server/${name}.ts`),
    why: 'every route passes through them, and the matrix calls every route as everybody',
  },
  {
    test: 'test/server/http/front.test.ts',
    covers: ['server/http/direct.ts', 'server/http/security-header.ts'],
    why: 'the front’s shorter way for one call must keep what the front promises, and what it says for browsers shows in its replies',
  },
  {
    test: 'test/server/http/bad-input.test.ts',
    covers: ['server/http/parse.ts'],
    why: 'what is parsed shows in what is refused',
  },
  {
    test: 'test/server/service/pond.test.ts',
    covers: ['audit', 'binding', 'core', 'job', 'key', 'pairing', 'parts', 'submit', 'view', 'wait'].map(
      (name) => `server/service/${name}.ts`,
    ),
    why: 'a service is one load, one question to the law and one write, and is seen whole through its routes',
  },
  {
    test: 'test/server/service/credential.test.ts',
    covers: ['server/service/custody.ts', 'server/service/recipient.ts'],
    why: 'what is vetted shows in what a project may hand in',
  },
  {
    test: 'test/server/service/bundle.test.ts',
    covers: ['server/service/archive.ts'],
    why: 'an archive is told by its first bytes on its way into a bundle',
  },
  {
    test: 'test/system/notify.test.ts',
    covers: ['src/executor/notify.ts'],
    why: 'it starts a program of systemd, which only such machines have',
  },
  {
    test: 'test/orchestrator/poll.test.ts',
    covers: ['src/orchestrator/health.ts'],
    why: 'health is what became of the polls',
  },
  {
    test: 'test/server/service/poll.test.ts',
    covers: ['directive', 'fleet', 'hub', 'intent', 'live', 'offer', 'session'].map(
      (name) => `server/service/${name}.ts`,
    ),
    why: 'they are the memory behind a poll',
  },
  {
    test: 'test/server/service/why.test.ts',
    covers: ['precedence', 'why-group', 'why-waiting', 'why-worker'].map((name) => `server/service/${name}.ts`),
    why: 'each explains a part, and only a whole pond shows that it is true',
  },
  {
    test: 'test/cli/consumer/why.test.ts',
    covers: ['src/cli/consumer/why-value.ts'],
    why: 'values are shown in what the verb prints',
  },
  {
    test: 'test/server/service/queue.test.ts',
    covers: ['server/service/choice.ts'],
    why: 'what stands where shows in who gets what',
  },
  {
    test: 'test/server/service/array.test.ts',
    covers: ['server/service/element.ts'],
    why: 'an element is what its array says',
  },
  {
    test: 'test/server/service/lease.test.ts',
    covers: ['change', 'listening'].map((name) => `server/service/${name}.ts`),
    why: 'time, trust and what they do to a row',
  },
  {
    test: 'test/server/service/stream.test.ts',
    covers: ['http/stream', 'service/event', 'service/retention', 'service/telemetry'].map(
      (name) => `server/${name}.ts`,
    ),
    why: 'what a claim leaves behind, how it is read, and how it goes',
  },
  {
    test: 'test/server/blob/stream-file.test.ts',
    covers: ['device', 'file-pool', 'frame', 'stream-path'].map((name) => `server/blob/${name}.ts`),
    why: 'frames, handles and paths show what they are worth only in a stream that is cut and opened again',
  },
  {
    test: 'test/server/store/sqlite.test.ts',
    covers: SQLITE.map((name) => `server/store/sqlite/${name}.ts`),
    why: 'one conformance suite runs every function of the contract; a page of SQL has no other caller',
  },
  {
    test: 'test/server/store/group-commit.test.ts',
    covers: ['server/store/turn.ts', 'server/store/work.ts'],
    why: 'a turn and a work are what the group is made of',
  },
  {
    test: 'test/executor/process.test.ts',
    covers: ['launch', 'message', 'pipe', 'spawner', 'usage'].map((name) => `src/executor/${name}.ts`),
    why: 'they are stages of one process, tried with real ones',
  },
  {
    test: 'test/executor/sandbox.test.ts',
    covers: ['bubblewrap', 'inherited', 'uid'].map((name) => `src/executor/${name}.ts`),
    why: 'a wall is tried by a process that stands behind it',
  },
  {
    test: 'test/executor/berth.test.ts',
    covers: ['berth-pool', 'launcher', 'launcher-program'].map((name) => `src/executor/${name}.ts`),
    why: 'a pool of berths is tried with real launchers, which run the program',
  },
  {
    test: 'test/executor/kill.test.ts',
    covers: ['cgroup', 'ladder', 'proc', 'sweep', 'tree'].map((name) => `src/executor/${name}.ts`),
    why: 'each rung is forced, and must leave nothing alive',
  },
  {
    test: 'test/protocol/orch.test.ts',
    covers: ['src/protocol/word.ts'],
    why: 'the routes of the orchestrator bring its schemas together',
  },
  {
    test: 'test/seal/open/frame.test.ts',
    covers: ['frame', 'sodium'].map((name) => `src/seal/${name}.ts`),
    why: 'what is sealed is worth what its opener makes of it',
  },
  {
    test: 'test/seal/open/envelope.test.ts',
    covers: ['box', 'envelope'].map((name) => `src/seal/${name}.ts`),
    why: 'an envelope goes from one who seals over one who grants to one who opens, and only the whole way shows who cannot',
  },
  {
    test: 'test/seal/dsse.test.ts',
    covers: ['refusal', 'signature'].map((name) => `src/seal/${name}.ts`),
    why: 'a signature is refused in the words that everything sealed is refused in',
  },
  {
    test: 'test/seal/pairing.test.ts',
    covers: ['fingerprint', 'key', 'token'].map((name) => `src/seal/${name}.ts`),
    why: 'pairing is what makes and shows them',
  },
  {
    test: 'test/world/clock.test.ts',
    covers: ['src/system/log.ts', 'src/system/random.ts'],
    why: 'the smallest parts of the world share a file',
  },
]
