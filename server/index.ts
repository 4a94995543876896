// The public names of the server.
export { openDiskBlobs } from './blob/disk.ts'
export { openFront } from './http/front.ts'
export { createPond, type Pond } from './pond.ts'
export { openSqliteStore } from './store/sqlite.ts'
