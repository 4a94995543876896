// What one types, verb by verb: the examples of both programs' help. A test holds that every verb has one and that each can be parsed.
import type { Command } from 'commander'

/** By the words of the verb; the program itself stands under none. */
export type Examples = Readonly<Record<string, readonly string[]>>

export const pondExamples: Examples = {
  '': ['pond serve', 'pond pairing create', 'pond run -- echo hello', 'pond logs -f'],
  run: [
    'pond run -- make test',
    'pond run --env LEVEL=9 --timeout 10m -- ./compress.sh',
    'echo hello | pond run --input - -- wc -c',
    'pond run --detach -- ./nightly.sh',
  ],
  submit: [
    'pond submit --after "$(pond submit -- make)" -- make test',
    'pond submit --priority 9 -- ./report.sh',
    'pond logs -f "$(pond submit -- ./build.sh)"',
  ],
  logs: [
    'pond logs -f',
    'pond logs --from "$(stat -c %s out)" job_01j >> out',
    'pond logs --stderr --tail 20 --timestamps job_01j',
  ],
  ps: ['pond ps', 'pond ps --all --label nightly=yes --limit 200'],
  show: ['pond show', 'pond show job_01j --json'],
  why: ['pond why', 'pond why job_01j --json'],
  cancel: ['pond cancel job_01j', 'pond cancel --label nightly=yes'],
  adopt: ['pond show job_01j', 'pond adopt job_01j --attempt 2'],
  'dead ls': ['pond dead ls', 'pond dead ls --cause oom --label nightly=yes'],
  'dead rm': ['pond dead rm job_01j'],
  replay: ['pond replay job_01j', 'pond replay --label nightly=yes', 'pond replay --array job_01j --most 100'],
  result: ['pond result job_01j > result.json'],
  'artifacts ls': ['pond artifacts ls job_01j'],
  'artifacts get': ['pond artifacts get job_01j out/report.pdf --out .'],
  verify: ['pond verify job_01j --save statement.json', 'pond verify statement.json'],
  workers: ['pond workers'],
  whoami: ['pond whoami --json'],
  login: ['pond login https://pond.example < token'],
  'credential set': [
    'pond credential set registry --key REGISTRY_TOKEN',
    'pass show db | pond credential set db --key DB_PASSWORD',
    'pond credential set deploy --from-file id_ed25519=$HOME/.ssh/deploy --key HOST < host',
    'pond credential set signing --from-file release.key --seal-to lab',
  ],
  'credential ls': ['pond credential ls'],
  'credential show': ['pond credential show registry'],
  'credential rm': ['pond credential rm registry'],
  identity: ['pond identity'],
  'trust ls': ['pond trust ls'],
  'trust worker': ['pond trust worker lab --fingerprint 1f0c-77aa-0b3e-91d2-5c44-e0f6-a8b7-23c9'],
  'trust pond': ['pond trust pond'],
  'trust recipients': ['pond trust recipients'],
  'trust rm': ['pond trust rm worker lab'],
  'recipient ls': ['pond recipient ls'],
  'recipient add': ['pond recipient add', 'pond recipient add pond_recipient_…'],
  'recipient rm': ['pond recipient rm 1f0c-77aa-0b3e-91d2-5c44-e0f6-a8b7-23c9'],
  usage: ['pond usage', 'pond usage --days 31 --json'],
  stats: ['pond stats', 'pond stats --json'],
  'project create': ['pond project create web'],
  'project ls': ['pond project ls'],
  'project weight': ['pond project weight physics 300'],
  'project pause': ['pond project pause web --for 2h --note "database moves"'],
  'project resume': ['pond project resume web'],
  'project quota': [
    'pond project quota web',
    'pond project quota web --queued 10000 --running 64 --submits-per-minute 600',
    'pond project quota web --cpu-seconds-per-day 360000 --output-per-day 50G --none running',
    'pond project quota web --clear',
  ],
  'key create': ['pond key create --project web --scope read --expires 90d > token'],
  'key ls': ['pond key ls'],
  'key revoke': ['pond key revoke key_01j'],
  'pairing create': ['pond pairing create --project web --label room=lab --expires 1h'],
  'pairing ls': ['pond pairing ls'],
  'pairing revoke': ['pond pairing revoke cod_01j'],
  'binding ls': ['pond binding ls'],
  'binding serve': ['pond binding serve lab --friend physics --public'],
  'binding show': ['pond binding show lab'],
  'binding cordon': ['pond binding cordon lab --note "new kernel tonight"'],
  'binding uncordon': ['pond binding uncordon lab'],
  'binding drain': ['pond binding drain lab --deadline 30m --note "new disk"'],
  'binding revoke': ['pond binding revoke lab'],
  'enrollment create': ['pond enrollment create lab --label gpu=a100'],
  'enrollment ls': ['pond enrollment ls'],
  'enrollment revoke': ['pond enrollment revoke cod_01j'],
  'worker ls': ['pond worker ls'],
  'worker show': ['pond worker show lab'],
  'worker drain': ['pond worker drain lab --deadline 30m --note "new disk"'],
  'worker cordon': ['pond worker cordon lab --for 2h --note "new kernel"'],
  'worker uncordon': ['pond worker uncordon lab'],
  'worker resume': ['pond worker resume lab'],
  'worker reinstate': ['pond worker show lab', 'pond worker reinstate lab'],
  'worker revoke': ['pond worker revoke lab'],
  'pond-key rotate': ['pond pond-key rotate'],
  'audit ls': ['pond audit ls --limit 200'],
  serve: [
    'pond serve',
    'pond serve --data /srv/pond --host 0.0.0.0 --tls-cert c.pem --tls-key k.pem',
    'pond serve --metrics-port 9464',
  ],
}

export const swarmExamples: Examples = {
  '': ['swarm pair https://pond.example#CODE', 'swarm run', 'swarm status'],
  pair: ['swarm pair https://pond.example#CODE', 'swarm pair - < code'],
  run: ['swarm run --slots 2', 'swarm run --idle-exit 10m --max-uptime 8h --drain-deadline 30m'],
  status: ['swarm status', 'swarm status --json'],
  drain: ['swarm drain', 'swarm drain --deadline 30m'],
  pause: ['swarm pause'],
  resume: ['swarm resume'],
  rules: [
    'swarm rules',
    'swarm rules set mains_only=true "hours=mon-fri 18:00-08:00; sat,sun"',
    'swarm rules unset hours',
  ],
  'rules show': ['swarm rules', 'swarm rules show --json'],
  'rules set': [
    'swarm rules set mains_only=true idle_minutes=10',
    'swarm rules set "hours=mon-fri 18:00-08:00; sat,sun"',
  ],
  'rules unset': ['swarm rules unset hours max_load'],
  'worker add': ['swarm worker add https://pond.example#CODE --name gpu --slots 1'],
  'worker ls': ['swarm worker ls'],
  'keys show': ['swarm keys'],
  'keys rotate': ['swarm keys rotate'],
  doctor: ['swarm doctor'],
  unpair: ['swarm unpair', 'swarm unpair --force'],
}

/** Puts the examples behind the help of each verb of the tree. */
export function addExamples(program: Command, examples: Examples): Command {
  const visit = (command: Command, words: readonly string[]) => {
    const lines = examples[words.join(' ')]
    if (lines) command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
    for (const below of command.commands) visit(below, [...words, below.name()])
  }
  visit(program, [])
  return program
}
