// How large a bundle may be, in one place; packing holds to the same numbers, so what was packed can be unpacked.

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

export interface BundleLimits {
  /** Content of all files together. */
  readonly totalBytes: number
  /** Content of one file; below 8 GiB, where a plain tar header ends. */
  readonly fileBytes: number
  /** Files, folders and links, the folders that are only part of a name included. */
  readonly entries: number
  /** A whole name within the archive, in UTF-8. */
  readonly pathBytes: number
  /** One step of a name, in UTF-8. */
  readonly nameBytes: number
  readonly pathDepth: number
  /** One extended header. */
  readonly metaBytes: number
  /** All of an unpacked archive that is no content: headers, padding, and zeros behind the end. */
  readonly overheadBytes: number
  /** Links that one link leads through. */
  readonly linkHops: number
}

export const bundleLimits: BundleLimits = {
  /** Source and test data fit; a compressed archive cannot fill a pool's disk. Data sets belong elsewhere. */
  totalBytes: 4 * GiB,
  fileBytes: 4 * GiB,
  /** A large node_modules has half of it; each entry costs its reader memory and a system call or three. */
  entries: 200_000,
  /** macOS takes no longer path. */
  pathBytes: 1024,
  /** No file system takes more. */
  nameBytes: 255,
  /** Trees that people make stay below 40; removing a tree takes a stack as deep as it. */
  pathDepth: 64,
  /** Two names and the extended attributes that macOS puts beside them. */
  metaBytes: 64 * KiB,
  /** More than twice a plain and an extended header for each of `entries`. */
  overheadBytes: 512 * MiB,
  /** Linux follows no more. */
  linkHops: 40,
}
