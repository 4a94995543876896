// The consumer's verbs about secrets and keys as a commander tree: words, flags, help. Each verb is loaded when it runs.
import type { Command } from 'commander'
import type { ConnectionFlags } from '../config.ts'
import { asList, flag } from '../flag.ts'
import type { Act } from '../main.ts'
import type { ConfirmFlags } from '../trust/confirm.ts'
import type { SetFlags } from './credential.ts'
import type { HomeFlags } from './identity.ts'
import { addConnection } from './program.ts'

export function addTrustVerbs(program: Command, act: Act): void {
  program.commandsGroup('Secrets and trust:')
  addCredential(program, act)
  addIdentity(program, act)
  addTrust(program, act)
  addRecipient(program, act)
}

/** For verbs that speak to nobody. */
function addHome(command: Command): Command {
  flag(command, '--home <dir>', { says: "the client's own folder", variable: 'POND_HOME' })
  return flag(command, '--json', { says: 'print JSON with stable keys', variable: 'POND_JSON' })
}

/** How a person says that a key is right. */
function addConfirm(command: Command): Command {
  flag(command, '--fingerprint <text>', {
    says: 'as its owner told it; anything else is refused',
    variable: 'POND_TRUST_FINGERPRINT',
  })
  return flag(command, '-y, --yes', { says: 'trust what is shown, unseen', variable: 'POND_TRUST_YES' })
}

const load = {
  credential: () => import('./credential.ts'),
  identity: () => import('./identity.ts'),
  recipient: () => import('./recipient.ts'),
  trust: () => import('./trust.ts'),
}

function addCredential(program: Command, act: Act): void {
  const credential = program.command('credential').description('named secrets that a job may be given')
  addCredentialSet(credential, act)
  const ls = addConnection(credential.command('ls').description('list them; values are never shown'))
  ls.action(() => act(async (io) => (await load.credential()).listCredentials(io, ls.opts<ConnectionFlags>())))
  const show = addConnection(
    credential.command('show').description('tell who can open one; values are never shown').argument('<name>'),
  )
  show.action((name: string) =>
    act(async (io) => (await load.credential()).showCredential(io, { ...show.opts<ConnectionFlags>(), name })),
  )
  const rm = addConnection(credential.command('rm').description('remove one').argument('<name>'))
  rm.action((name: string) =>
    act(async (io) => (await load.credential()).removeCredential(io, { ...rm.opts<ConnectionFlags>(), name })),
  )
}

function addCredentialSet(credential: Command, act: Act): void {
  const set = credential
    .command('set')
    .description('seal values on this machine and store them')
    .argument('<name>')
    .addHelpText(
      'after',
      `
A value is never an argument. On a terminal each --key is asked for without an echo. Elsewhere stdin holds it: for one
--key all of stdin, less a newline at its end; for several one NAME=VALUE a line. A job gets the variables in its
environment and the files in a private folder that $CREDENTIALS_DIRECTORY names.

Sealed to pond, any worker of the project may be given it. With --seal-to only the named workers can open it, pond
cannot, and only jobs that this client signs may use it. The token needs the scopes credentials and read.`,
    )
  flag(set, '-k, --key <name>', {
    says: 'a variable, repeatable; its value is asked for, or comes on stdin',
    variable: 'POND_CREDENTIAL_KEY',
    parse: asList,
  })
  flag(set, '-f, --from-file <file>', {
    says: 'a file, or NAME=FILE, repeatable',
    variable: 'POND_CREDENTIAL_FROM_FILE',
    parse: asList,
  })
  flag(set, '--seal-to <worker>', {
    says: 'to this trusted worker and not to pond, repeatable',
    variable: 'POND_SEAL_TO',
    parse: asList,
  })
  addConnection(set).action((name: string) =>
    act(async (io) => (await load.credential()).setCredential(io, { ...set.opts<Omit<SetFlags, 'name'>>(), name })),
  )
}

function addIdentity(program: Command, act: Act): void {
  const identity = addHome(
    program
      .command('identity')
      .description('show the public keys of this client; makes them when there are none')
      .addHelpText(
        'after',
        `
The recipient is what others name so that this client can read output; the signer is what a pool's owner names so that
jobs of this client are taken. The file that is shown is also the backup: copy it to take the identity elsewhere.`,
      ),
  )
  identity.action(() => act(async (io) => (await load.identity()).showIdentity(io, identity.opts<HomeFlags>())))
}

function addTrust(program: Command, act: Act): void {
  const trust = program.command('trust').description('which keys are believed here')
  const ls = addHome(trust.command('ls').description('list them'))
  ls.action(() => act(async (io) => (await load.trust()).listTrust(io, ls.opts<HomeFlags>())))
  const worker = addConfirm(
    trust
      .command('worker')
      .description('trust the key of a worker after its fingerprint was compared')
      .argument('<worker>', 'name, id or fingerprint')
      .addHelpText(
        'after',
        `
It takes the place of an older key of the same worker. Output is believed from a worker that pond shows and that is met for
the first time; with POND_TRUST=checked only from those that were compared here. --seal-to takes only these.`,
      ),
  )
  addConnection(worker).action((name: string) =>
    act(async (io) =>
      (await load.trust()).trustWorker(io, { ...worker.opts<ConnectionFlags & ConfirmFlags>(), worker: name }),
    ),
  )
  const pond = addConfirm(trust.command('pond').description("trust pond's own key, to which secrets are sealed"))
  addConnection(pond).action(() =>
    act(async (io) => (await load.trust()).trustPond(io, pond.opts<ConnectionFlags & ConfirmFlags>())),
  )
  const recipients = trust
    .command('recipients')
    .description("show what changed in the project's recipients, and trust it")
  flag(recipients, '-y, --yes', { says: 'without a question', variable: 'POND_TRUST_YES' })
  addConnection(recipients).action(() =>
    act(async (io) =>
      (await load.trust()).trustRecipients(io, recipients.opts<ConnectionFlags & { readonly yes?: boolean }>()),
    ),
  )
  const rm = addHome(
    trust
      .command('rm')
      .description('believe it no more; it is pinned anew when it is seen again')
      .argument('<kind>', 'pond, worker or recipients')
      .argument('<what>', 'name, id, project, URL or fingerprint'),
  )
  rm.action((kind: string, what: string) =>
    act(async (io) => (await load.trust()).removeTrust(io, { ...rm.opts<HomeFlags>(), kind, what })),
  )
}

function addRecipient(program: Command, act: Act): void {
  const recipient = program
    .command('recipient')
    .description("who else may read the output of a project's jobs; pond keeps the list, every client pins it")
  const ls = addConnection(recipient.command('ls').description('list them, as pond tells'))
  ls.action(() => act(async (io) => (await load.recipient()).showRecipients(io, ls.opts<ConnectionFlags>())))
  const add = addConnection(
    recipient
      .command('add')
      .description('name them for the jobs to come')
      .argument('[key...]', 'pond_recipient_…; without it this client'),
  )
  add.action((keys: string[]) =>
    act(async (io) => (await load.recipient()).addRecipients(io, { ...add.opts<ConnectionFlags>(), keys })),
  )
  const rm = addConnection(
    recipient.command('rm').description('take them off').argument('<key...>', 'keys or their fingerprints'),
  )
  rm.action((keys: string[]) =>
    act(async (io) => (await load.recipient()).removeRecipients(io, { ...rm.opts<ConnectionFlags>(), keys })),
  )
}
