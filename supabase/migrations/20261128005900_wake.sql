-- Instances with real sessions LISTEN, and so notice new workflows at once. Every statement may run twice.

create or replace function outlast.tell_due()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A commit that notifies holds a lock of the whole server. So only one transaction at a time notifies. What
  -- a transaction without the advisory lock commits is found by the look that the lock's owner causes, or by
  -- the next tick. If nobody emptied the server's notification queue, commits would fail once it is full.
  if pg_notification_queue_usage() < 0.5 and pg_try_advisory_xact_lock(hashtextextended('outlast_due', 0)) then
    perform pg_notify('outlast_due', '');
  end if;
end
$$;

do $$
declare
  role_name text;
begin
  revoke all on function outlast.tell_due() from public;
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    -- Only once, so that later grants of the project stay.
    if exists (select from pg_roles where rolname = role_name)
      and not exists (select from outlast.schema_migrations where version = '20261128005900')
    then
      execute format('revoke all on function outlast.tell_due() from %I', role_name);
    end if;
  end loop;
end
$$;

create or replace function outlast.start_any(function text, input text, idempotency_key text, queue text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Without claims it is the service.
  select outlast.tell_due();
  select outlast.start_as(function, input, idempotency_key, queue, outlast.claims())
$$;

create or replace function outlast.start_own(function text, input text, idempotency_key text, queue text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Without claims it is anybody.
  select outlast.tell_due();
  select outlast.start_as(
    function, input, idempotency_key, queue, coalesce(outlast.claims(), '{"role":"anon"}'))
$$;

-- Runs in the caller's own transaction: its commit sends, its rollback doesn't. It locks no row of a
-- workflow. So a transaction that stays open blocks nobody.
create or replace function outlast.send(
  workflow_id text, message json, topic text default null, idempotency_key text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  standing text;
  found outlast.messages;
  sent bigint;
begin
  if send.workflow_id is null or send.message is null then
    raise exception 'outlast.send takes the id of a workflow and a message; JSON null is a message: ''null'''
      using errcode = 'null_value_not_allowed';
  end if;
  if length(coalesce(send.topic, '')) > 255 or length(coalesce(send.idempotency_key, '')) > 255 then
    raise exception 'outlast.send: a topic and an idempotency key have at most 255 characters'
      using errcode = 'string_data_right_truncation';
  end if;
  if octet_length(send.message::text) > 16777216 then
    raise exception 'outlast.send: a message has at most 16 MiB; keep more elsewhere and send where it is'
      using errcode = 'program_limit_exceeded';
  end if;
  perform send.message::jsonb;  -- refuses what json accepts and readers don't: \u0000, half a surrogate pair

  -- Checked before the status: sending again under the same key returns the same, also after the workflow's
  -- end.
  if send.idempotency_key is not null then
    select m.* into found from outlast.messages m
    where m.workflow_id = send.workflow_id and m.idempotency_key = send.idempotency_key;
  end if;
  if found.message_id is null then
    select w.status into standing from outlast.workflow_status w where w.workflow_id = send.workflow_id;
    if standing is null then
      raise exception 'there is no workflow %', send.workflow_id using errcode = 'no_data_found';
    elsif standing not in ('ENQUEUED', 'PENDING') then
      raise exception 'the workflow % has ended as %: it receives no more messages', send.workflow_id, standing
        using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into outlast.messages as m (workflow_id, topic, message, idempotency_key)
    values (send.workflow_id, coalesce(send.topic, ''), send.message, send.idempotency_key)
    on conflict do nothing
    returning m.message_id into sent;
    if sent is not null then
      perform outlast.tell_due();
      return sent;
    end if;
    -- Another transaction has sent under this key meanwhile, and committed: the insert waited for it.
    select m.* into found from outlast.messages m
    where m.workflow_id = send.workflow_id and m.idempotency_key = send.idempotency_key;
  end if;
  if found.topic <> coalesce(send.topic, '') or found.message::jsonb <> send.message::jsonb then
    raise exception 'this idempotency key was used with another message to the same workflow'
      using errcode = 'unique_violation';
  end if;
  return found.message_id;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128005900') on conflict do nothing;
