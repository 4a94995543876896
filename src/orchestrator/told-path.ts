// The paths of artifacts as they may be told: redaction can make one of two, or a file of what is a folder elsewhere. Each gets its own.

export interface ToldPaths {
  /** The path itself where it is free; else with a number behind what is in its way. */
  take(path: string): string
}

export function createToldPaths(): ToldPaths {
  const files = new Set<string>()
  const folders = new Set<string>()
  return {
    take(path) {
      const at = clashIn(path, files, folders)
      let told = path
      for (let count = 2; at !== undefined && clashIn(told, files, folders) !== undefined; count += 1) {
        told = `${path.slice(0, at)}~${count}${path.slice(at)}`
      }
      files.add(told)
      for (const end of slashesOf(told)) folders.add(told.slice(0, end))
      return told
    },
  }
}

/** Where the part of the path ends that is a file already, or a folder where it should be a file; undefined when nothing is in its way. */
function clashIn(path: string, files: ReadonlySet<string>, folders: ReadonlySet<string>): number | undefined {
  const folder = slashesOf(path).find((end) => files.has(path.slice(0, end)))
  if (folder !== undefined) return folder
  return files.has(path) || folders.has(path) ? path.length : undefined
}

function slashesOf(path: string): number[] {
  return [...path.matchAll(/\//g)].map(({ index }) => index)
}
