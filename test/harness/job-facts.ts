// What pond tells about a job, as a test asks for it: attempts, the bytes of a stream, an artifact, the result.
import { createHash } from 'node:crypto'
import type { AttemptView } from '../../src/protocol/consumer.ts'
import type { Rig } from './process-rig.ts'

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export async function attemptsOf(rig: Rig, id: string): Promise<readonly AttemptView[]> {
  const listed = await rig.client.persist('listAttempts', { params: { id } })
  if (!listed.ok) throw new Error(`${id} has no attempts: ${listed.error.message}`)
  return listed.reply.items
}

/** All of a plain stream; with `follow`, up to its end. */
export function readStream(
  rig: Rig,
  id: string,
  { name = 'stdout', attempt = 1, follow = true }: { name?: string; attempt?: number; follow?: boolean },
): Promise<Buffer> {
  return read(rig, `/v1/jobs/${id}/streams/${name}?attempt=${attempt}${follow ? '&follow=1' : ''}`)
}

export const readArtifact = (rig: Rig, id: string, path: string): Promise<Buffer> =>
  read(rig, `/v1/jobs/${id}/artifacts/${path}`)

export const readResult = async (rig: Rig, id: string): Promise<string> =>
  (await read(rig, `/v1/jobs/${id}/result`)).toString().trim()

async function read(rig: Rig, path: string): Promise<Buffer> {
  const reply = await fetch(rig.url() + path, { headers: { authorization: `Bearer ${rig.token()}` } })
  if (!reply.ok) throw new Error(`${path} was answered ${reply.status}: ${await reply.text()}`)
  return Buffer.from(await reply.arrayBuffer())
}
