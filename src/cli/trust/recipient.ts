// To whom the output of a new job is sealed: to this client, and to the recipients of its project as they were pinned here.
import { fingerprint } from '../../seal/fingerprint.ts'
import { describeIdentity } from '../../seal/identity.ts'
import { parseKey } from '../../seal/key-text.ts'
import { callFailure, Failure, usageFailure } from '../failure.ts'
import type { Session } from '../session.ts'
import { identityFile, needIdentity } from './identity.ts'
import { changeTrust, projectKey, readTrust } from './store.ts'

export interface RecipientWish {
  /** Further ones, typed by the consumer. */
  readonly recipients?: readonly string[]
}

/** Texts of keys, each once. The identity is made when there is none; then it is said what sealing hides and what not. */
export async function chooseRecipients(
  session: Session,
  { recipients = [] }: RecipientWish,
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
  const ofProject = await pinnedRecipients(session)
  return [...new Set([describeIdentity(identity).recipient, ...ofProject, ...recipients])]
}

/** The project's recipients as pinned; pinned when they are seen for the first time, and asked about when they change. */
export async function pinnedRecipients(session: Session): Promise<readonly string[]> {
  const { client, connection } = session
  const answer = await client.call('getRecipients')
  if (!answer.ok) {
    // Who may not read the project's output need not know who else may.
    if (answer.error.code === 'forbidden') return []
    throw callFailure("get the project's recipients", answer.error)
  }
  const { project, recipients } = answer.reply
  const key = projectKey(connection.url, project)
  const pinned = (await readTrust(connection.home)).recipients[key]
  if (pinned && same(pinned, recipients)) return recipients
  if (pinned) await askAboutChange(session, { project, pinned, told: recipients })
  else if (recipients.length > 0) {
    await session.out.note(`output of project ${project} is also sealed to ${recipients.map(short).join(', ')}`)
  }
  await changeTrust(connection.home, (before) => ({
    ...before,
    recipients: { ...before.recipients, [key]: [...recipients] },
  }))
  return recipients
}

const same = (one: readonly string[], other: readonly string[]) =>
  [...one].sort().join(' ') === [...other].sort().join(' ')

interface Change {
  readonly project: string
  readonly pinned: readonly string[]
  readonly told: readonly string[]
}

async function askAboutChange({ io }: Session, { project, pinned, told }: Change): Promise<void> {
  const added = told.filter((text) => !pinned.includes(text)).map(short)
  const gone = pinned.filter((text) => !told.includes(text)).map(short)
  const what = [added.length > 0 && `added ${added.join(', ')}`, gone.length > 0 && `removed ${gone.join(', ')}`]
  const change = `the recipients of project ${project} changed: ${what.filter((it) => it !== false).join('; ')}`
  const answer = io.stdin.isTty
    ? await io.choose(`${change}. Whoever is named can read the output. Use them?`, [
        { value: 'no', label: 'no' },
        { value: 'yes', label: 'yes' },
      ])
    : 'no'
  if (answer === 'yes') return
  throw new Failure({
    what: change,
    why: 'they were pinned here, and nobody said that the change is right',
    next: 'Ask the others of the project, then type: pond trust recipients.',
  })
}

function short(text: string): string {
  const key = parseKey('recipient', text)
  return key === undefined ? text : fingerprint(key)
}
