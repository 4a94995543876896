// Gives the claims of one swarm what their jobs need, from one cache of bundles.
import { rmdir } from 'node:fs/promises'
import { unpack } from '../bundle/unpack.ts'
import { type BundleCache, openBundleCache } from './bundle-cache.ts'
import type { SwarmParts } from './contract.ts'
import { fetchSupply, type Supplied, type SupplyOrder } from './supply.ts'

/** The job's folder stands there empty, and an archive is unpacked into one that it makes itself. */
const unpackInto: typeof unpack = async (source, folder, options) => {
  await rmdir(folder)
  return await unpack(source, folder, options)
}

export interface Supplier {
  readonly fetchSupply: (order: SupplyOrder) => Promise<Supplied>
  /** Gives back the room of what no job uses. Never rejects. */
  shrink(): Promise<void>
}

export function createSupplier({ binding, client, clock, disk, home, log, options }: SwarmParts): Supplier {
  let opened: Promise<BundleCache> | undefined
  /** Most swarms never need it, so its folder is made with the first bundle. A disk that took none is asked again. */
  const bundles = () => {
    opened ??= openBundleCache({ clock, disk, log, folder: home.bundlesPath }).catch((error: unknown) => {
      opened = undefined
      throw error
    })
    return opened
  }
  return {
    fetchSupply: (order) =>
      fetchSupply(
        {
          client,
          log,
          unpack: unpackInto,
          bundles,
          pairsOf: binding.pairsOf,
          signers: options.signers ?? [],
          project: binding.now().project,
          pondKey: () => binding.now().pond_key,
        },
        order,
      ),
    shrink: () =>
      bundles()
        .then((cache) => cache.shrink())
        .catch((error: unknown) => log.warn('bundles_left', { error: String(error) })),
  }
}
