// The tables, and how a file of an earlier version becomes one of this version. A step that was released never changes.
//
// A job's row is small, since every change of state writes it whole; what never changes and may be large stands in job_specs. Its one list index moves with
// its state and serves every list. Rows of a job go with it. Keys are text that sorts by time, so inserts fall at the end of their trees. What no statement
// looks for stands in one column of JSON, and what is mostly absent stands last: a column costs more to bind than to store.
import type { Connection } from './connection.ts'

const first = `
create table projects (
  id text primary key, name text not null unique, weight integer not null, quota text, recipients text not null default '[]',
  created_at integer not null
) strict, without rowid;

create table keys (
  id text primary key, kind text not null, project_id text references projects, name text not null, token_hash text not null unique,
  scopes text not null, created_at integer not null, expires_at integer, revoked_at integer
) strict, without rowid;

create table codes (
  id text primary key, project_id text not null references projects, uses_left integer not null, tries_left integer not null,
  labels text not null, allowed_labels text, ephemeral integer not null, binding_id text references bindings, fingerprint text, ladder text,
  created_at integer not null, expires_at integer not null
) strict, without rowid;

create table bindings (
  id text primary key, project_id text not null references projects, code_id text not null, name text not null, binding_key text not null,
  state text not null, tokens text not null, ephemeral integer not null, ladder text, created_at integer not null, revoked_at integer
) strict, without rowid;
create unique index bindings_by_pairing on bindings (code_id, binding_key);

create table workers (
  id text primary key, binding_id text not null references bindings, project_id text not null references projects, name text not null,
  sealing_key text not null, signing_key text not null, labels text not null, own_labels text, resources text not null,
  state text not null, mishaps integer not null, paused_until integer not null, report text, code_id text, former_keys text,
  shown_keys text, drain text, created_at integer not null
) strict, without rowid;
create index workers_by_binding on workers (binding_id);
create index workers_by_project on workers (project_id);

create table stops (
  target text primary key, at integer not null, who text not null, note text, until integer
) strict, without rowid;

create table jobs (
  id text primary key, project_id text not null references projects, priority integer not null, created_at integer not null, needs text,
  state text not null, version integer not null, epoch integer not null, attempts integer not null, claim_id text, worker_id text,
  started_at integer, end_at integer, end_cause text, facts text, expires_at integer, not_before integer, passed_over text, tally text
) strict, without rowid;
-- Elements of arrays, whose ids are longer than the 30 characters of a job's, stand in no list but that of their array.
create index jobs_by_state on jobs (project_id, state, id) where length(id) = 30;
create index elements_open on jobs (project_id, id) where length(id) > 30 and end_at is null;
create index jobs_by_end on jobs (project_id, end_at, id) where end_at is not null;
create index jobs_again on jobs (project_id, id) where state = 'queued' and attempts > 0;

create table job_specs (
  job_id text primary key references jobs on delete cascade, summary text not null, spec blob not null, bundle text
) strict;
create index job_specs_by_bundle on job_specs (bundle) where bundle is not null;

create table job_labels (
  project_id text not null, key text not null, value text not null, job_id text not null,
  primary key (project_id, key, value, job_id)
) strict, without rowid;

create table dependencies (
  job_id text not null references jobs on delete cascade, other_id text not null, kind text not null,
  primary key (other_id, job_id)
) strict, without rowid;
create index dependencies_by_job on dependencies (job_id);

create table claims (
  id text primary key, job_id text not null references jobs on delete cascade, epoch integer not null, attempt integer not null,
  worker_id text not null, binding_id text not null, claim_key text not null, claimed_at integer not null, held text, lease_state text not null,
  confirmed_at integer, started_at integer, ended_at integer, final_digest text, attestation_id text, word text,
  hold_ms integer, held_until integer, orphan integer
) strict, without rowid;
create unique index claims_by_job on claims (job_id, epoch);

create table transitions (
  job_id text not null references jobs on delete cascade, version integer not null, at integer not null, to_state text not null,
  who text not null, from_state text, claim_id text, cause text, note text,
  primary key (job_id, version)
) strict, without rowid;

create table attestations (
  id text primary key, worker_id text not null, sealing_key text not null, signing_key text not null, claims text not null, body text not null
) strict;

create table results (
  claim_id text primary key references claims on delete cascade, body text not null
) strict;

create table telemetry (
  seq integer primary key, job_id text not null references jobs on delete cascade, claim_id text not null, id text not null,
  type text not null, at integer not null, data text,
  unique (claim_id, id)
) strict;
create index telemetry_by_job on telemetry (job_id);

create table credentials (
  project_id text not null references projects, name text not null, recipients text not null, signer text, custody text not null,
  created_at integer not null, updated_at integer not null,
  primary key (project_id, name)
) strict;

create table bundles (
  id text primary key, project_id text not null references projects, digest text, size integer not null, signer text, custody text,
  complete integer not null, created_at integer not null, used_at integer not null
) strict;
create unique index bundles_by_digest on bundles (project_id, digest);
create index bundles_by_use on bundles (used_at);

create table idempotency (
  project_id text not null references projects, key text not null, digest text not null, job_ids text not null, batch integer not null,
  created_at integer not null,
  primary key (project_id, key)
) strict, without rowid;
create index idempotency_by_age on idempotency (created_at);

create table audit (
  id text primary key, at integer not null, who text not null, action text not null, target text not null, note text
) strict, without rowid;
`

const steps: readonly string[] = [first]

/** Brings the file up to this version, each step whole or not at all. A file of a later version is refused. */
export function migrate(db: Connection): void {
  const version = db.get<{ user_version: number }>('pragma user_version')?.user_version ?? 0
  if (version > steps.length) {
    throw new Error(
      `the database is of version ${version}, and this pond knows only ${steps.length}: start a later pond`,
    )
  }
  for (const [index, step] of steps.entries()) {
    if (index >= version) db.exec(`begin immediate; ${step} pragma user_version = ${index + 1}; commit;`)
  }
}
