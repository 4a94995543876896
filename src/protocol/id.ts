// Ids and tokens: a prefix says what a string is, a brand keeps two kinds apart in the compiler.
import { z } from 'zod'

const BODY = '[0-9a-hjkmnp-tv-z]{26}'

export type ProjectId = string & { readonly brand: 'ProjectId' }
export type KeyId = string & { readonly brand: 'KeyId' }
export type BindingId = string & { readonly brand: 'BindingId' }
export type WorkerId = string & { readonly brand: 'WorkerId' }
export type JobId = string & { readonly brand: 'JobId' }
export type ClaimId = string & { readonly brand: 'ClaimId' }
export type CodeId = string & { readonly brand: 'CodeId' }
/** Pond's own name for a bundle's bytes; it never travels. */
export type BundleId = string & { readonly brand: 'BundleId' }

const id = <T extends string>(prefix: string, tail = '') => {
  const pattern = `^${prefix}_${BODY}${tail}$`
  const looksRight = new RegExp(pattern)
  return z
    .custom<T>((value) => typeof value === 'string' && looksRight.test(value), {
      message: `must look like ${prefix}_ and 26 lower-case characters`,
    })
    .meta({ type: 'string', pattern })
}

export const projectId = id<ProjectId>('prj')
export const keyId = id<KeyId>('key')
export const bindingId = id<BindingId>('bnd')
export const workerId = id<WorkerId>('wrk')
/** An element of an array is `job_….i` wherever a job id stands. */
export const jobId = id<JobId>('job', '(\\.[0-9]{1,6})?')
/** The id of an array's element. */
export const elementId = (array: JobId, index: number) => `${array}.${index}` as JobId
/** The array and the place of an element, by its id; undefined for a job that is none. */
export function elementOf(id: JobId): { readonly array: JobId; readonly index: number } | undefined {
  const at = id.indexOf('.')
  if (at < 0) return undefined
  return { array: id.slice(0, at) as JobId, index: Number(id.slice(at + 1)) }
}
export const claimId = id<ClaimId>('clm')
export const codeId = id<CodeId>('cod')

/** Prefix of every token, so that a scanner finds a leaked one. */
export const tokenPrefix = {
  admin: 'pond_admin_',
  key: 'pond_key_',
  binding: 'pond_bind_',
  claim: 'pond_claim_',
  bundle: 'pond_bundle_',
} as const

/** A text that no log, error or argv may carry. */
export const looksLikeToken = /pond_(admin|key|bind|claim|bundle)_[A-Za-z0-9_-]{20,}/
