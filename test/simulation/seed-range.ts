// Many worlds one after another, in which every law must hold and nobody may ask the real clock or the real dice.
import type { Test } from 'tap'
import { harmless, setGuard } from './guard.ts'
import { replayCommand, simulate } from './simulation.ts'

export async function holdAll(t: Test, { from, to }: { readonly from: number; readonly to: number }): Promise<void> {
  const guard = setGuard()
  t.teardown(guard.release)
  for (let seed = from; seed <= to; seed++) {
    const { violations } = await simulate(seed)
    if (violations.length > 0) t.fail(replayCommand(seed), { violations })
  }
  guard.release()
  t.strictSame(guard.caught, [], 'no product code asked the real clock or the real dice')
  t.strictSame(
    [...guard.byPackage.keys()].sort(),
    Object.keys(harmless).sort(),
    'and no package did for it, unless it may',
  )
}
