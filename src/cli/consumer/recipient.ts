// pond recipient: who else may open the output of a project's confidential jobs. Pond keeps the list; every client pins it.
import { describeIdentity } from '../../seal/identity.ts'
import { parseKey } from '../../seal/key-text.ts'
import type { ConnectionFlags } from '../config.ts'
import { Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, type Session, withSession } from '../session.ts'
import { shortKey } from '../trust/entry.ts'
import { needIdentity } from '../trust/identity.ts'
import { checkRecipients, listRecipients, pinRecipients } from '../trust/recipient.ts'

export interface RecipientFlags extends ConnectionFlags {
  /** Texts of keys, or fingerprints where one is removed. */
  readonly keys: readonly string[]
}

export function showRecipients(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { recipients } = await listRecipients(session)
    await print(session, recipients)
    return 0
  })
}

/** This client is added in any case: what it submits is sealed to it too, and who finds a box for somebody who is not on the list believes nothing. */
export function addRecipients(io: Io, flags: RecipientFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const own = describeIdentity((await needIdentity(session.connection.home)).identity).recipient
    const keys = [own, ...flags.keys]
    const wrong = keys.find((text) => parseKey('recipient', text) === undefined)
    if (wrong !== undefined)
      throw usageFailure(`${wrong} is no recipient`, 'It looks like pond_recipient_…: pond identity.')
    return await change(session, (before) => [...before, ...keys])
  })
}

export function removeRecipients(io: Io, flags: RecipientFlags): Promise<number> {
  return withSession(io, flags, async (session) =>
    change(session, (before) => {
      const gone = (text: string) => flags.keys.some((key) => key === text || key === shortKey(text))
      const missing = flags.keys.find((key) => !before.some((text) => key === text || key === shortKey(text)))
      if (missing !== undefined)
        throw new Failure({ what: `${missing} is no recipient of the project`, next: 'List them: pond recipient ls.' })
      return before.filter((text) => !gone(text))
    }),
  )
}

/** What was added behind our back is asked about first: setting the list again would hide it. */
async function change(session: Session, next: (before: readonly string[]) => readonly string[]): Promise<number> {
  const before = await checkRecipients(session)
  const recipients = [...new Set(next(before.recipients))]
  const set = need('set the recipients', await session.client.call('putRecipients', { body: { recipients } }))
  await pinRecipients(session, { project: set.project, recipients })
  await print(session, recipients)
  return 0
}

async function print({ out }: Session, recipients: readonly string[]): Promise<void> {
  const items = recipients.map((recipient) => ({ recipient, fingerprint: shortKey(recipient) }))
  type Item = (typeof items)[number]
  const columns = [
    { title: 'FINGERPRINT', cell: ({ fingerprint }: Item) => fingerprint },
    { title: 'RECIPIENT', cell: ({ recipient }: Item) => recipient },
  ]
  await out.list(items, columns, 'the project has no recipients; output is sealed to whoever submits')
}
