-- The tables of Outlast. Every statement may run twice, so that `supabase db push` and the host, which both
-- apply this file, recognise each other's work by outlast.schema_migrations.

create schema if not exists outlast;

create table if not exists outlast.schema_migrations (
  version text primary key,
  applied_at timestamptz not null default now()
);

create table if not exists outlast.workflow_status (
  workflow_id text primary key,
  function text not null,
  status text not null
    check (status in ('ENQUEUED', 'PENDING', 'SUCCESS', 'ERROR', 'CANCELLED', 'EXHAUSTED')),
  input json,
  output json,
  error json,
  response json,
  request json,
  idempotency_key text,
  fingerprint text,
  subject text,
  claims json,
  queue text,
  priority integer not null default 0,
  version text,
  parent text,
  attributes json,
  owner text,
  epoch bigint not null default 0,
  recovery_attempts integer not null default 0,
  claimable_at timestamptz,
  deadline timestamptz,
  nonce bigint,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  updated_at timestamptz not null default now(),
  completed_at timestamptz
);

comment on table outlast.workflow_status is 'One row a workflow: what was asked, how it stands, how it ended.';
comment on column outlast.workflow_status.response is 'Status, headers and encoding of the answer, where the function set them.';
comment on column outlast.workflow_status.owner is 'The instance that runs it; null while it waits or has ended.';
comment on column outlast.workflow_status.epoch is 'The fencing number: each claim raises it, and each write carries it.';
comment on column outlast.workflow_status.claimable_at is 'When an instance may claim it; null while owned or ended.';
comment on column outlast.workflow_status.nonce is 'Of the batch that inserted or ended the row: tells a batch sent twice from a stranger.';

-- Partial, so that neither costs anything for an ended workflow.
create index if not exists workflow_status_claimable on outlast.workflow_status (claimable_at)
  where owner is null and claimable_at is not null;
create index if not exists workflow_status_owned on outlast.workflow_status (owner)
  where owner is not null;
create index if not exists workflow_status_created on outlast.workflow_status (created_at, workflow_id);

create table if not exists outlast.operation_outputs (
  workflow_id text not null,
  step_id text not null,
  name text not null,
  output json,
  error json,
  attempts integer not null default 1,
  completion_order integer,
  nonce bigint,
  started_at timestamptz,
  completed_at timestamptz not null default now(),
  primary key (workflow_id, step_id)
);

comment on table outlast.operation_outputs is 'One row a recorded step: what replay returns instead of running it again.';
comment on column outlast.operation_outputs.completion_order is 'After how many completions of its workflow it came; null for a sleep that is not over.';

create table if not exists outlast.instances (
  instance_id text primary key,
  lease_until timestamptz not null,
  started_at timestamptz not null default now(),
  host text,
  version text,
  backend_pid integer,
  backend_started timestamptz
);

comment on table outlast.instances is 'One row a running host process, and how long it may be trusted to be alive.';

alter table outlast.schema_migrations enable row level security;
alter table outlast.workflow_status enable row level security;
alter table outlast.operation_outputs enable row level security;
alter table outlast.instances enable row level security;

revoke all on schema outlast from public;
revoke all on all tables in schema outlast from public;

do $$
declare
  role_name text;
begin
  foreach role_name in array array['anon', 'authenticated'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('revoke all on schema outlast from %I', role_name);
      execute format('revoke all on all tables in schema outlast from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261122000001') on conflict do nothing;
