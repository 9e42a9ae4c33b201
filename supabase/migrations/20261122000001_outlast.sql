-- The tables of Outlast. Every statement may run twice, so that `supabase db push` and the host, which both
-- apply this file, recognise each other's work by outlast.schema_migrations.

create schema if not exists outlast;

create table if not exists outlast.schema_migrations (
  version text primary key,
  applied_at timestamptz not null default now()
);

-- Every migration ends with a call of this.
create or replace function outlast.take_rights(
  migration text, functions text[] default array[]::text[], tables text[] default array[]::text[],
  of_service text[] default array[]::text[], of_users text[] default array[]::text[]
) returns void language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  made text;
  named text;
  role_name text;
begin
  for made, named in
    select 'function ' || p.oid::regprocedure, n.named
    from pg_proc p
    cross join lateral (values (p.proname::text), (format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)))) as n (named)
    where p.pronamespace = 'outlast'::regnamespace and n.named = any (functions || of_service || of_users)
    union all
    select format('table outlast.%I', t), t from unnest(tables) as t
  loop
    if made like 'function %' then
      -- The planner thinks that these plans are expensive, but they are quick, and compiling one takes
      -- seconds. A pooler's sessions can't be set so.
      -- guard: plans-compiled = execute format('alter %s set search_path = pg_catalog, pg_temp', made);
      execute format('alter %s set search_path = pg_catalog, pg_temp set jit = off', made);
    else
      execute format('alter %s enable row level security', made);
    end if;
    execute format('revoke all on %s from public', made);
    -- Only once, so that later grants of the project stay.
    continue when exists (select from outlast.schema_migrations as m where m.version = migration);
    for role_name in
      select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role')
    loop
      execute format('revoke all on %s from %I', made, role_name);
      if (role_name = 'service_role' and named = any (of_service)) or (role_name <> 'anon' and named = any (of_users)) then
        execute format('grant execute on %s to %I', made, role_name);
      end if;
    end loop;
  end loop;
end
$$;

comment on function outlast.take_rights(text, text[], text[], text[], text[]) is
  'What a migration has made is its owner''s alone, but for functions that the service, or users too, may call: they '
  'find what they name in no schema of their callers. A function is named with or without the types of its arguments.';

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
  parent text constraint workflow_status_parent references outlast.workflow_status on delete cascade,
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
  completed_at timestamptz,
  mail bigint not null default 0,
  awaits json,
  load_bytes bigint
);

comment on table outlast.workflow_status is 'One row a workflow: what was asked, how it stands, how it ended.';
comment on column outlast.workflow_status.response is 'Status, headers and encoding of the answer, where the function set them.';
comment on column outlast.workflow_status.owner is 'The instance that runs it; null while it waits or has ended.';
comment on column outlast.workflow_status.epoch is 'The fencing number: each claim raises it, and each write carries it.';
comment on column outlast.workflow_status.claimable_at is 'When an instance may claim it; null while owned or ended.';
comment on column outlast.workflow_status.nonce is 'Of the batch that inserted or ended the row: tells a batch sent twice from a stranger.';
comment on column outlast.workflow_status.mail is 'How many messages were delivered to it: the number of the last one.';
comment on column outlast.workflow_status.awaits is
  'Of a workflow that left the memory to wait for messages: their topics, and the last number it has looked at.';
comment on column outlast.workflow_status.load_bytes is
  'What its input, request and records take in memory, as bytes of usual JSON, as far as it is known: an instance claims what it has memory for.';

-- Partial indexes cost nothing for the rows that they leave out.
create index if not exists workflow_status_owned on outlast.workflow_status (owner)
  where owner is not null;
-- Lost workflows are claimed with care, and are few. Without this index each look for them would read all
-- that is due.
create index if not exists workflow_status_suspects on outlast.workflow_status (claimable_at)
  where owner is null and claimable_at is not null and recovery_attempts > 0;
-- The sleeping workflows of a user, which are counted when the user starts one.
create index if not exists workflow_status_sleeping on outlast.workflow_status (subject)
  where subject is not null and owner is null and claimable_at is not null;
-- For owners who search for their own workflows among all.
create index if not exists workflow_status_subject on outlast.workflow_status (subject, created_at)
  where subject is not null;
-- For the removal of a workflow, which removes what it has started.
create index if not exists workflow_status_parent on outlast.workflow_status (parent) where parent is not null;

create table if not exists outlast.operation_outputs (
  workflow_id text not null constraint operation_outputs_workflow references outlast.workflow_status on delete cascade,
  step_id text not null,
  name text not null,
  output json,
  error json,
  attempts integer not null default 1,
  completion_order integer,
  nonce bigint,
  started_at timestamptz,
  completed_at timestamptz not null default now(),
  kind text,
  at timestamptz,
  arguments bigint,
  primary key (workflow_id, step_id)
);

comment on table outlast.operation_outputs is 'One row a recorded step: what replay returns instead of running it again.';
comment on column outlast.operation_outputs.completion_order is 'After how many completions of its workflow it came; null for a sleep that is not over.';
comment on column outlast.operation_outputs.kind is
  'Which operation it is the outcome of: step, transaction, sleep, receive, send, publish, start, result, timer, patch, …';
comment on column outlast.operation_outputs.at is
  'The time of the workflow''s body from this on: what now() and the event loop''s clock say until the next one.';
comment on column outlast.operation_outputs.arguments is
  'A fingerprint of what the step was called with, where it has one.';

create table if not exists outlast.instances (
  instance_id text primary key,
  lease_until timestamptz not null,
  started_at timestamptz not null default now(),
  host text,
  version text,
  backend_pid integer,
  backend_started timestamptz,
  running json
);

comment on table outlast.instances is 'One row a running host process, and how long it may be trusted to be alive.';
comment on column outlast.instances.running is
  'The steps that it has been running for some seconds: workflow_id, epoch, step_id, name, attempt, began, retry.';

create table if not exists outlast.messages (
  message_id bigint generated always as identity primary key,
  workflow_id text not null constraint messages_workflow references outlast.workflow_status on delete cascade,
  topic text not null default '',
  message json not null,
  idempotency_key text,
  number bigint,
  created_at timestamptz not null default now()
);

comment on table outlast.messages is
  'One row a message. That it was received says the record of the receive, which names it, and nothing else.';
comment on column outlast.messages.topic is 'Empty for the topic without a name.';
comment on column outlast.messages.number is
  'Its place among the messages of its workflow; null until an instance has seen it. Nothing else of a row changes.';

create unique index if not exists messages_key on outlast.messages (workflow_id, idempotency_key)
  where idempotency_key is not null;
create index if not exists messages_of_workflow on outlast.messages (workflow_id, topic, number);
create index if not exists messages_undelivered on outlast.messages (message_id)
  where number is null;

-- How much memory JSON takes once it is loaded: dense `[[],[],…` takes thirty times its text.
create or replace function outlast.load_bytes_of(document text)
returns bigint
language sql
immutable
parallel safe
as $$
  -- As in core/budget.py: its text, at the width of its widest character, and 25 bytes for each bracket,
  -- comma and colon. That width isn't known here, so it is taken as 4 bytes, the most.
  select case when octet_length(document) = char_length(document) then 1 else 4 end * char_length(document)::bigint
    + 25 * (char_length(document) - char_length(translate(document, '[{,:', '')))::bigint
$$;

comment on function outlast.load_bytes_of(text) is
  'What JSON takes in memory once it is read, as bytes of usual JSON.';

revoke all on schema outlast from public;
do $$
declare
  role_name text;
begin
  for role_name in select r.rolname from pg_roles r where r.rolname in ('anon', 'authenticated') loop
    execute format('revoke all on schema outlast from %I', role_name);
  end loop;
end
$$;

select outlast.take_rights(
  '20261122000001',
  functions => array['take_rights', 'load_bytes_of'],
  tables => array['schema_migrations', 'workflow_status', 'operation_outputs', 'instances', 'messages']);

insert into outlast.schema_migrations (version) values ('20261122000001') on conflict do nothing;
