-- Published events: what the owners of workflows see of them, and how Realtime broadcasts them. Every
-- statement may run twice.

create or replace view outlast.events with (security_invoker = true) as
select
  o.workflow_id, o.completion_order as number, substr(o.name, 9) as event, outlast.readable(o.output) as value,
  o.completed_at as published_at
from outlast.workflow_status w
join outlast.operation_outputs o on o.workflow_id = w.workflow_id
where o.kind = 'publish';

comment on view outlast.events is
  'What workflows have published, for whom outlast.workflows shows the workflow. Numbers grow, with gaps.';

create or replace function outlast.realtime_topic(workflow_id text)
returns text
language sql
stable
parallel safe
as $$
  -- Realtime delivers nothing to a topic of more than 255 bytes, including its own prefix `realtime:`.
  select case
    when octet_length(convert_to(workflow_id, 'UTF8')) <= 237 then 'workflow:' || workflow_id
    else 'workflow-sha256:' || encode(sha256(convert_to(workflow_id, 'UTF8')), 'hex')
  end
$$;

comment on function outlast.realtime_topic(text) is
  'The topic of a workflow''s events in Realtime: with its id, or of a long id (over 237 bytes) the SHA-256.';

-- The journal calls this in the transaction that records the events. The transaction must not fail because of
-- it, or wait for it.
create or replace function outlast.broadcast(workflow_ids text[], step_ids text[])
returns text
language plpgsql
set lock_timeout = '100ms'
set client_min_messages = 'warning'  -- realtime.send reports what it swallows as a warning
as $$
declare
  value_bytes_max constant integer not null default 200000;
  patience constant interval not null default interval '200 milliseconds';
  began constant timestamptz not null default clock_timestamp();
  -- After a refusal the first event is a trial for all: a warning for each would fill the server's log.
  tries boolean not null default coalesce(current_setting('outlast.broadcast_tries', true) = 'on', false);
  topic text;
  published record;
begin
  for published in
    select
      o.workflow_id, o.completion_order, substr(o.name, 9) as event, o.output,
      octet_length(o.output::text) <= value_bytes_max as fits, o.completed_at
    from unnest(broadcast.workflow_ids, broadcast.step_ids) with ordinality as given (workflow_id, step_id, place)
    join outlast.operation_outputs o on o.workflow_id = given.workflow_id and o.step_id = given.step_id
    -- Recorded by this very transaction, not by the same batch when its answer was lost, and not by another
    -- instance.
    where o.xmin = pg_current_xact_id_if_assigned()::xid
    order by given.place
  loop
    if clock_timestamp() - began > patience then
      return 'realtime.send held up a commit';
    end if;
    topic := outlast.realtime_topic(published.workflow_id);
    if tries then
      perform set_config('realtime.topic', '', true);
    end if;
    execute 'select realtime.send($1, $2, $3, true)' using
      jsonb_build_object(
        'workflow_id', published.workflow_id,
        'number', published.completion_order,
        'published_at',
        to_char(published.completed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      ) || case when published.fits then jsonb_build_object('value', published.output) else '{}' end,
      published.event, topic;
    -- When realtime.send swallows an error it rolls back, and so this setting that it makes is lost.
    if tries and current_setting('realtime.topic', true) is distinct from topic then
      return 'realtime.send did not take an event';
    end if;
    tries := false;
  end loop;
  return null;
exception when others then
  return sqlerrm;
end
$$;

comment on function outlast.broadcast(text[], text[]) is
  'Send events that this transaction has recorded through realtime.send; null, or why some were not sent.';

-- Users call realtime_topic in their policy on Realtime's table.
select outlast.take_rights(
  '20261127000003', functions => array['broadcast'], of_users => array['realtime_topic']);

do $$
declare
  role_name text;
begin
  revoke all on outlast.events from public;
  for role_name in select r.rolname from pg_roles r where r.rolname in ('authenticated', 'service_role') loop
    execute format('grant select on outlast.events to %I', role_name);
    execute format(
      'grant select (workflow_id, name, output, attempts, completion_order, completed_at, kind)'
      ' on outlast.operation_outputs to %I', role_name);
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

insert into outlast.schema_migrations (version) values ('20261127000003') on conflict do nothing;
