// swarm unpair: revokes this machine's binding from its own side and forgets the keys.
import type { CallError, Client } from '../../client/contract.ts'
import type { RunEnd } from '../../orchestrator/contract.ts'
import type { Binding, Home } from '../../orchestrator/home.ts'
import { callFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput, type Output } from '../output.ts'
import { type BindingFlags, connectBound, lockHome, needBinding, needLive, openPoolHome } from './home.ts'

export async function unpair(io: Io, flags: BindingFlags & { readonly force?: boolean }): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const home = await openPoolHome(io, flags)
  const binding = await needBinding(home)
  const unlock = await lockHome(home)
  const network = io.connect()
  try {
    const live = await needLive(home).catch((error: unknown) => {
      if (!flags.force) throw error
    })
    const client = live && connectBound({ io, network, binding: live, flags })
    const answer = await client?.call('unpair', { body: {} })
    const told = answer !== undefined && (answer.ok || isGone(answer.error))
    if (answer?.ok === false && !told && !flags.force) {
      throw callFailure('unpair (with --force only this side forgets)', answer.error)
    }
    await home.forget()
    await out.result(
      { binding_id: binding.binding_id, told },
      () => `${binding.name} is no longer paired with ${binding.pond}`,
    )
    if (!told) await out.note(`pond was not told; the operator can: pond binding revoke ${binding.binding_id}`)
    return 0
  } finally {
    await network.close()
    await unlock()
  }
}

interface Leaving {
  readonly client: Client
  readonly home: Home
  readonly binding: Binding
  readonly out: Output
  readonly end: Pick<RunEnd, 'owed'>
}

/** At the end of an ephemeral machine's run. A pond that cannot be told forgets it by itself. */
export async function leaveForGood({ client, home, binding, out, end }: Leaving): Promise<void> {
  if (end.owed !== undefined) {
    return out.note(
      `${binding.name} stays paired: pond is still to hear of claims (${end.owed}), by the next swarm run`,
    )
  }
  const answer = await client.call('unpair', { body: {} })
  await home.forget()
  const told =
    answer.ok || isGone(answer.error)
      ? ''
      : '; pond was not told and forgets it by itself, in minutes or, if it was the last machine, in a day'
  await out.note(`${binding.name} was paired for one run and is forgotten${told}`)
}

/** Revoked already: there is nothing left to revoke. */
function isGone(error: CallError): boolean {
  return error.code === 'unauthenticated'
}
