// What a refused bundle says: a reason from a closed list and the entry's name, made fit to print. Errors of the disk and the network pass as they are.

const reasonText = {
  not_an_archive: 'this is neither a tar nor a tar.gz archive',
  truncated: 'the archive ends too early',
  trailing_garbage: 'the archive goes on behind its end',
  bad_checksum: 'a header of the archive is damaged',
  bad_header: 'a header of the archive is malformed',
  bad_gzip: 'the gzip stream is damaged',
  unsupported_type: 'only files, folders and links can be in a bundle',
  special_file: 'devices, pipes and sockets cannot be in a bundle',
  special_bits: 'setuid, setgid and sticky bits cannot be in a bundle',
  bad_name: 'this name cannot be in a bundle',
  name_too_long: 'the name is too long',
  too_deep: 'there are too many folders inside each other',
  duplicate: 'the name is there twice',
  name_clash: 'the name differs from another only by case or Unicode form',
  not_a_folder: 'the name leads through something that is no folder',
  bad_link: 'the link has no usable target',
  link_escapes: 'the link leads out of the folder',
  link_loop: 'the link leads through too many links',
  too_many_entries: 'there are too many files and folders',
  file_too_large: 'the file is too large',
  too_large: 'all files together are too large',
  meta_too_large: 'the headers of the archive are too large',
  changed: 'the file changed while it was packed',
  bad_ignore: 'the ignore file cannot be used',
} as const

export type BundleReason = keyof typeof reasonText

export const bundleReasons = Object.keys(reasonText) as readonly BundleReason[]

export class BundleError extends Error {
  override readonly name = 'BundleError'
  readonly reason: BundleReason
  /** The entry's name as it may be printed, when there is one. */
  readonly entry: string | undefined

  constructor(reason: BundleReason, entry?: string, options?: ErrorOptions) {
    const printable = entry === undefined ? undefined : printableName(entry)
    super(printable === undefined ? reasonText[reason] : `${reasonText[reason]}: ${printable}`, options)
    this.reason = reason
    this.entry = printable
  }
}

/** Longer names lose their middle: the beginning says where and the end says what. */
const PRINTED_CHARS = 120

/** The name without anything that a terminal obeys or a reader cannot see. */
export function printableName(name: string): string {
  const chars = [...name]
  const half = PRINTED_CHARS / 2
  const short = chars.length <= PRINTED_CHARS ? name : [...chars.slice(0, half), '…', ...chars.slice(-half)].join('')
  return short.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
}
