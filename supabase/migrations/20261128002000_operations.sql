-- The kind of each record, and the time that the workflow's body saw when it got it. Every statement may run
-- twice.

alter table outlast.operation_outputs add column if not exists kind text;
alter table outlast.operation_outputs add column if not exists at timestamptz;
alter table outlast.operation_outputs add column if not exists arguments bigint;

comment on column outlast.operation_outputs.kind is
  'Which operation it is the outcome of: step, transaction, sleep, receive, send, publish, start, result, timer. '
  'Null in rows from before there were kinds, where it isn''t known.';
comment on column outlast.operation_outputs.at is
  'The time of the workflow''s body from this on: what now() and the event loop''s clock say until the next one.';
comment on column outlast.operation_outputs.arguments is
  'A fingerprint of what the step was called with, where it has one.';

-- Until now receives, events and timers were recognised by these.
update outlast.operation_outputs
set kind = case
  when step_id ~ '(^|\.)0\.[0-9]+$' then 'timer'
  when starts_with(name, 'publish ') then 'publish'
  else 'receive' end
where kind is null and (attempts = 0 or step_id ~ '(^|\.)0\.[0-9]+$');

create or replace view outlast.events with (security_invoker = true) as
select
  o.workflow_id, o.completion_order as number, substr(o.name, 9) as event, outlast.readable(o.output) as value,
  o.completed_at as published_at
from outlast.workflow_status w
join outlast.operation_outputs o on o.workflow_id = w.workflow_id
where o.kind = 'publish';

do $$
declare
  role_name text;
begin
  foreach role_name in array array['authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('grant select (kind) on outlast.operation_outputs to %I', role_name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'authenticated') then
    -- Only events, and only of workflows that the user sees by that table's policies.
    drop policy if exists published_to_their_owner on outlast.operation_outputs;
    create policy published_to_their_owner on outlast.operation_outputs for select to authenticated
      using (
        kind = 'publish'
        and exists (select from outlast.workflow_status w where w.workflow_id = operation_outputs.workflow_id)
      );
  end if;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128002000') on conflict do nothing;
