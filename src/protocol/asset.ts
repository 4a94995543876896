// What belongs to a project besides its jobs, and what a job leaves behind: bundles, credentials, recipients; artifacts and attestations.

import { z } from 'zod'
import { streamQuery } from './consumer.ts'
import { digest, name, queryInt } from './field.ts'
import { jobId } from './id.ts'
import { limit } from './limit.ts'
import { custody, custodyDetached, dsse } from './sealed.ts'
import { defineRoutes, nothing } from './shape.ts'
import { artifactProblems, streamEnds } from './word.ts'

/** Of which attempt; the latest without it. */
export const attemptQuery = z.strictObject({ attempt: queryInt(1, 1_000_000).optional() })

export const attestationView = z.object({
  attestation: dsse,
  claim_id: z.string(),
  worker: z.string(),
  /** The worker's pinned keys. */
  sealing_key: z.string(),
  signing_key: z.string(),
})
export type AttestationView = z.infer<typeof attestationView>

export const artifactView = z.object({
  /** Absent in a confidential job, and where there is a problem. */
  path: z.string().optional(),
  stream: z.string().optional(),
  bytes: z.int().optional(),
  /** Of the stored bytes. */
  sha256: z.string().optional(),
  end: z.enum(streamEnds).optional(),
  problem: z.enum(artifactProblems).optional(),
})
export type ArtifactView = z.infer<typeof artifactView>
export const artifactList = z.object({ claim_id: z.string(), items: z.array(artifactView) })

export const bundleView = z.object({
  digest: z.string(),
  /** Bytes stored for good. */
  committed: z.int(),
  size: z.int(),
  /** All bytes are here and the digest is right. */
  complete: z.boolean(),
  /** `pond` can seal it to any worker; `client`: only the workers it was sealed to. Absent until the boxes are here. */
  custody: z.enum(['pond', 'client']).optional(),
  signer: z.string().optional(),
})
export type BundleView = z.infer<typeof bundleView>
export const bundleQuery = z.strictObject({
  offset: queryInt(0, limit.bundleBytes),
  /** Of the whole. */
  size: queryInt(1, limit.bundleBytes),
})

export const credentialView = z.object({
  name: z.string(),
  project: z.string(),
  custody: z.enum(['pond', 'client']),
  /** Fingerprints of the keys it is sealed to. */
  recipients: z.array(z.string()),
  /** Ed25519 key of who sealed it; jobs that name it must be signed with it. */
  signer: z.string().optional(),
  created_at: z.int(),
  updated_at: z.int(),
})
export type CredentialView = z.infer<typeof credentialView>
export const credentialList = z.object({ items: z.array(credentialView) })

export const recipientList = z.strictObject({ recipients: z.array(z.string().max(128)).max(limit.recipients) })
export const recipientView = z.object({ project: z.string(), recipients: z.array(z.string()) })
export type RecipientView = z.infer<typeof recipientView>

const job = { id: jobId }

export const assetRoutes = defineRoutes({
  getAttestation: {
    method: 'GET',
    path: '/v1/jobs/{id}/attestation',
    caller: 'read',
    says: "The worker's signed statement of what did run, and the key that signed it.",
    params: job,
    query: attemptQuery,
    reply: attestationView,
  },
  listArtifacts: {
    method: 'GET',
    path: '/v1/jobs/{id}/artifacts',
    caller: 'read',
    says: 'The files that the globs of a job brought, and what they missed.',
    params: job,
    query: attemptQuery,
    reply: artifactList,
  },
  readArtifact: {
    method: 'GET',
    path: '/v1/jobs/{id}/artifacts/{path...}',
    caller: 'read',
    says: 'Bytes of an artifact by its path; Range is honoured. Of a confidential job they are read as streams.',
    params: { ...job, path: z.string().min(1).max(4096) },
    query: streamQuery,
    reply: 'bytes',
  },
  createBundle: {
    method: 'POST',
    path: '/v1/bundles',
    caller: 'submit',
    says: 'Upload a plain tar or tar.gz as it comes; pond seals it while it receives and stores no plaintext.',
    body: 'stream',
    reply: bundleView,
    status: 201,
  },
  getBundle: {
    method: 'GET',
    path: '/v1/bundles/{digest}',
    caller: 'submit',
    says: 'How much of a bundle is here; HEAD answers the same in Pond-Committed.',
    params: { digest },
    reply: bundleView,
  },
  putBundle: {
    method: 'PUT',
    path: '/v1/bundles/{digest}',
    caller: 'submit',
    says: 'Append sealed bytes at an offset; the last ones complete it if the digest is right.',
    params: { digest },
    query: bundleQuery,
    body: 'bytes',
    reply: bundleView,
  },
  sealBundle: {
    method: 'PUT',
    path: '/v1/bundles/{digest}/seal',
    caller: 'submit',
    says: 'Hand in the boxes of a bundle: sealed to pond, or to workers and signed.',
    params: { digest },
    body: custodyDetached,
    reply: bundleView,
  },
  putCredential: {
    method: 'PUT',
    path: '/v1/credentials/{name}',
    caller: 'credentials',
    says: 'Create or replace a credential: sealed to pond, or to workers and signed.',
    params: { name },
    body: custody,
    reply: credentialView,
  },
  getCredential: {
    method: 'GET',
    path: '/v1/credentials/{name}',
    caller: 'credentials',
    says: 'What a credential is; its values are never returned.',
    params: { name },
    reply: credentialView,
  },
  listCredentials: {
    method: 'GET',
    path: '/v1/credentials',
    caller: 'credentials',
    says: 'The credentials of the project, without values.',
    reply: credentialList,
  },
  deleteCredential: {
    method: 'DELETE',
    path: '/v1/credentials/{name}',
    caller: 'credentials',
    says: 'Remove a credential.',
    params: { name },
    reply: nothing,
  },
  getRecipients: {
    method: 'GET',
    path: '/v1/recipients',
    caller: 'read',
    says: "The project's recipients; a consumer pins them and is asked when they change.",
    reply: recipientView,
  },
  putRecipients: {
    method: 'PUT',
    path: '/v1/recipients',
    caller: 'credentials',
    says: "Replace the project's recipients.",
    body: recipientList,
    reply: recipientView,
  },
})
