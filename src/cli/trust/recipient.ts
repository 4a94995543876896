// To whom the output of a new job is sealed: to this client, and to the recipients of its project as they were pinned here.
import type { ReplyOf } from '../../protocol/route.ts'
import { describeIdentity } from '../../seal/identity.ts'
import { parseKey } from '../../seal/key-text.ts'
import { callFailure, Failure, usageFailure } from '../failure.ts'
import { ask, type Patience } from '../patience.ts'
import { need, type Session } from '../session.ts'
import { requireYes } from './confirm.ts'
import { shortKey } from './entry.ts'
import { identityFile, needIdentity } from './identity.ts'
import { changeTrust, projectKey, readTrust } from './store.ts'

export interface RecipientWish {
  /** Further ones, typed by the consumer. */
  readonly recipients?: readonly string[]
  readonly patience?: Patience
}

/** Texts of keys, each once. The identity is made when there is none; then it is said what sealing hides and what not. */
export async function chooseRecipients(
  session: Session,
  { recipients = [], patience }: RecipientWish,
): Promise<readonly string[]> {
  for (const text of recipients) {
    if (parseKey('recipient', text) === undefined)
      throw usageFailure(`${text} is no recipient`, 'It looks like pond_recipient_…: pond identity.')
  }
  const { home } = session.connection
  const { identity, made } = await needIdentity(home)
  if (made) {
    await session.out.note(
      `output is sealed to this client from now on; keep ${identityFile(home)}, only it opens that`,
    )
    await session.out.note(
      'pond still sees commands, env, labels, globs, lengths, times and codes (--plain: output too)',
    )
  }
  const ofProject = await pinnedRecipients(session, patience)
  return [...new Set([describeIdentity(identity).recipient, ...ofProject, ...recipients])]
}

async function pinnedRecipients(session: Session, patience: Patience | undefined): Promise<readonly string[]> {
  const answer = await ask(session.client, 'getRecipients', { patience })
  if (answer.ok) return await judge(session, answer.reply)
  // Who may not read the project's output need not know who else may.
  if (answer.error.code === 'forbidden') return []
  throw callFailure("get the project's recipients", answer.error)
}

type Listed = ReplyOf<'getRecipients'>

export async function listRecipients({ client }: Session): Promise<Listed> {
  return need("get the project's recipients", await client.call('getRecipients'))
}

/** As pond tells them; a change of what is pinned is a Failure, unless a person says yes. */
export async function checkRecipients(session: Session): Promise<Listed> {
  const listed = await listRecipients(session)
  await judge(session, listed)
  return listed
}

/** Pinned when they are seen for the first time, and asked about when they change. */
async function judge(session: Session, { project, recipients }: Listed): Promise<readonly string[]> {
  const { io, out } = session
  const change = await findChange(session, { project, recipients })
  if (change === 'none') return recipients
  if (change === 'new') {
    if (recipients.length > 0) {
      await out.note(`output of project ${project} is also sealed to ${recipients.map(shortKey).join(', ')}`)
    }
  } else {
    const refused = new Failure({
      what: change.says,
      why: 'they were pinned here, and nobody said that the change is right',
      next: 'Ask the others of the project, then type: pond trust recipients.',
    })
    if (!io.stdin.isTty) throw refused
    await requireYes(io, { question: questionOf(change.says), flag: '--yes' }).catch(() => {
      throw refused
    })
  }
  await pinRecipients(session, { project, recipients })
  return recipients
}

/** Shows what is different from what is pinned, asks, and pins. */
export async function reviewRecipients(session: Session, { yes }: { readonly yes: boolean }): Promise<Listed> {
  const listed = await listRecipients(session)
  const change = await findChange(session, listed)
  if (typeof change === 'object') {
    if (yes) await session.out.note(change.says)
    else await requireYes(session.io, { question: questionOf(change.says), flag: '--yes' })
  }
  if (change !== 'none') await pinRecipients(session, listed)
  return listed
}

export async function pinRecipients({ connection, io }: Session, { project, recipients }: Listed): Promise<void> {
  const key = projectKey(connection.url, project)
  await changeTrust({ home: connection.home, clock: io.clock }, (before) => ({
    ...before,
    recipients: { ...before.recipients, [key]: [...recipients] },
  }))
}

const questionOf = (says: string) => `${says}. Whoever is named can read the output. Use them?`

async function findChange(
  { connection }: Session,
  { project, recipients }: Listed,
): Promise<'none' | 'new' | { readonly says: string }> {
  const pinned = (await readTrust(connection.home)).recipients[projectKey(connection.url, project)]
  if (!pinned) return 'new'
  const added = recipients.filter((text) => !pinned.includes(text)).map(shortKey)
  const gone = pinned.filter((text) => !recipients.includes(text)).map(shortKey)
  if (added.length === 0 && gone.length === 0) return 'none'
  const says = [added.length > 0 && `added ${added.join(', ')}`, gone.length > 0 && `removed ${gone.join(', ')}`]
  return { says: `the recipients of project ${project} changed: ${says.filter((it) => it !== false).join('; ')}` }
}
