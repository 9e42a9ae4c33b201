-- What people do to workflows, queues and schedules is noted; failed workflows go on. Every statement may run twice.

alter table outlast.workflow_status
  add column if not exists generation integer not null default 1;
comment on column outlast.workflow_status.generation is 'How often it was let run to an end: each retry and each rewind raises it.';

create table if not exists outlast.acts (
  act_id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  verb text not null,
  noun text not null check (noun in ('workflow', 'queue', 'schedule')),
  name text not null,
  workflow_id text references outlast.workflow_status on delete cascade deferrable initially deferred,
  by text not null,
  why text,
  before json
);

comment on table outlast.acts is
  'What people did: kept as long as its workflow; of a queue or a schedule, and of workflows that are gone, the newest.';
comment on column outlast.acts.name is 'The id of the workflow, or the name of the queue or the schedule.';
comment on column outlast.acts.workflow_id is 'The same of a workflow, unless its row was gone by then.';
comment on column outlast.acts.by is 'Who: a key, a user, a workflow, or a role of the database.';
comment on column outlast.acts.before is 'What stood before.';

create index if not exists acts_of on outlast.acts (noun, name, act_id);
create index if not exists acts_of_workflow on outlast.acts (workflow_id) where workflow_id is not null;
create index if not exists acts_of_gone on outlast.acts (act_id) where noun = 'workflow' and workflow_id is null;

alter table outlast.acts enable row level security;

create or replace function outlast.note_act(noun text, name text, verb text, by text, why text, before json)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- In the transaction of what was done. Of queues and schedules the newest 1,000 of each stay, and of workflows that are
-- gone the newest 10,000.
declare
  owned text := case when note_act.noun = 'workflow' then (
    select w.workflow_id from outlast.workflow_status w where w.workflow_id = note_act.name) end;
begin
  insert into outlast.acts (verb, noun, name, workflow_id, by, why, before)
  values (note_act.verb, note_act.noun, note_act.name, owned, outlast.actor(note_act.by), note_act.why, note_act.before);
  if note_act.noun <> 'workflow' then
    -- guard: acts-without-bound = delete from outlast.acts a where a.noun = note_act.noun and false and a.act_id <= (
    delete from outlast.acts a where a.noun = note_act.noun and a.name = note_act.name and a.act_id <= (
      select k.act_id from outlast.acts k where k.noun = note_act.noun and k.name = note_act.name
      order by k.act_id desc offset 1000 limit 1);
  elsif owned is null then
    delete from outlast.acts a where a.noun = 'workflow' and a.workflow_id is null and a.act_id <= (
      select k.act_id from outlast.acts k where k.noun = 'workflow' and k.workflow_id is null
      order by k.act_id desc offset 10000 limit 1);
  end if;
end
$$;

create or replace function outlast.workflow_stands(w outlast.workflow_status)
returns json
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- What is noted of a workflow before something is done to it.
  select json_strip_nulls(json_build_object(
    'status', w.status, 'error', w.error, 'epoch', w.epoch, 'generation', w.generation, 'owner', w.owner,
    'claimable_at', w.claimable_at, 'deadline', w.deadline, 'completed_at', w.completed_at))
$$;

do $$
declare
  role_name text;
  made text;
  applied boolean := exists (select from outlast.schema_migrations where version = '20261129060000');
begin
  for made in
    select p.oid::regprocedure::text from pg_proc p
    where p.pronamespace = 'outlast'::regnamespace and p.proname in ('note_act', 'workflow_stands')
  loop
    execute format('revoke all on function %s from public', made);
    foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
      -- Once only: what the project grants later is its own affair.
      if not applied and exists (select from pg_roles where rolname = role_name) then
        execute format('revoke all on function %s from %I', made, role_name);
      end if;
    end loop;
  end loop;
  revoke all on outlast.acts from public;
  foreach role_name in array array['anon', 'authenticated'] loop
    if not applied and exists (select from pg_roles where rolname = role_name) then
      execute format('revoke all on outlast.acts from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129060000') on conflict do nothing;
