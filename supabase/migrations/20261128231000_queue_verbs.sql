-- What operators do to queues: other limits, pause, resume, drain. Every statement may run twice. Each
-- function is a verb of core/verbs.py: HTTP and the commands call the same one, and tests compare them with
-- that table.

create or replace function outlast.refuse_argument(verb text, argument text, needed text)
returns void
language plpgsql
as $$
begin
  raise exception 'outlast.%: % %', verb, argument, needed using errcode = '22023', column = argument;
end
$$;

create or replace function outlast.check_text(verb text, argument text, value text, chars_max integer)
returns void
language plpgsql
immutable
as $$
begin
  if length(value) not between 1 and chars_max then
    perform outlast.refuse_argument(
      verb, argument, 'must be a text of 1 to ' || to_char(chars_max, 'FM999,999') || ' characters');
  end if;
end
$$;

create or replace function outlast.actor(by text)
returns text
language sql
stable
as $$
  -- Who does it: the caller as given, or the role in whose name this transaction runs.
  select left(coalesce(nullif(by, ''), outlast.acting_role()), 200)
$$;

create or replace function outlast.check_queue_settings(settings jsonb)
returns void
language plpgsql
immutable
as $$
-- The same checks as in core/queues.py; a test compares them.
declare
  month_s constant integer not null default 31 * 86400;
  option text;
  value jsonb;
  most integer;
  needed text;
begin
  if jsonb_typeof(settings) is distinct from 'object' or octet_length(settings::text) > 65536 then
    perform outlast.refuse_argument('set_queue', 'settings', 'must be a JSON object of options, of at most 64 KiB');
  end if;
  for option, value in select e.key, e.value from jsonb_each(settings) e loop
    needed := null;
    if option not in (
      'concurrency', 'per_key', 'per_instance', 'rate', 'rate_per_key', 'weight', 'max_backlog', 'start_within'
    ) then
      needed := 'is nothing that can be set; use concurrency, per_key, per_instance, rate, rate_per_key, weight,'
        ' max_backlog or start_within';
    elsif value = 'null' then
      continue;
    elsif option in ('concurrency', 'per_key', 'per_instance', 'max_backlog') then
      most := case option when 'max_backlog' then 10000000 else 1000000 end;
      if jsonb_typeof(value) <> 'number' or value #>> '{}' !~ '^[0-9]{1,8}$'
        or (value #>> '{}')::integer not between 1 and most
      then
        needed := 'is a whole number from 1 to ' || to_char(most, 'FM99,999,999');
      end if;
    elsif option = 'start_within' then
      if not outlast.is_span(value, month_s) then
        needed := 'is a number of seconds, at least 0.000001 and at most ' || to_char(month_s, 'FM9,999,999');
      end if;
    elsif option = 'weight' then
      if jsonb_typeof(value) <> 'object' then
        needed := 'is an object of keys and their weights';
      elsif exists (
        select from jsonb_each(value) w
        where case when jsonb_typeof(w.value) = 'number' then (w.value #>> '{}')::numeric not between 0.01 and 100
          else true end
      ) then
        needed := 'is an object of keys and their weights, which are between 0.01 and 100';
      end if;
    elsif not (
      case when jsonb_typeof(value) = 'object' then
        value - array['n', 'per', 'smooth'] = '{}'
        and coalesce(jsonb_typeof(value -> 'n') = 'number', false)
        and value ->> 'n' ~ '^[0-9]{1,5}$' and (value ->> 'n')::integer between 1 and 10000
        and outlast.is_span(value -> 'per', month_s)
        and coalesce(jsonb_typeof(value -> 'smooth') = 'boolean', not value ? 'smooth')
      else false end
    ) then
      needed := 'is {"n": from 1 to 10,000, "per": seconds, at least 0.000001 and at most '
        || to_char(month_s, 'FM9,999,999') || '}, and "smooth": true or false if you like';
    end if;
    if needed is not null then
      perform outlast.refuse_argument('set_queue', option, needed || ', not ' || left(value::text, 100));
    end if;
  end loop;
end
$$;

create or replace function outlast.is_span(value jsonb, most integer)
returns boolean
language sql
immutable
as $$
  -- The clock can't measure a shorter span, and for some readers a very small one is no valid number.
  select case when jsonb_typeof(value) = 'number'
    then (value #>> '{}')::numeric between 0.000001 and most
    else false end
$$;

create or replace function outlast.lock_queue(
  verb text, name text, by text default null, key text default null, why text default null
)
returns outlast.queues
language plpgsql
as $$
-- Locks and returns the queue's row, and records the act with the state before it. A caller that refuses
-- afterwards rolls that back by raising.
declare
  q outlast.queues;
begin
  select * into q from outlast.queues where queues.name = lock_queue.name for no key update;
  if not found then
    raise exception 'outlast.%: there is no queue with this name', verb using errcode = 'P0002';
  end if;
  perform outlast.note_act('queue', q.name, split_part(verb, '_', 1), by, why, json_strip_nulls(json_build_object(
    'key', key, 'override', q.override, 'paused_by', q.paused_by, 'paused_at', q.paused_at, 'paused_why', q.paused_why,
    'paused_key', (
      select json_build_object('paused_by', k.paused_by, 'paused_at', k.paused_at, 'paused_why', k.paused_why)
      from outlast.queue_keys k where k.queue = q.name and k.key = lock_queue.key and k.paused_at is not null))));
  return q;
end
$$;

create or replace function outlast.set_queue(
  name text, settings jsonb, reset boolean default false, why text default null, by text default null
)
returns boolean
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  q outlast.queues;
  changed jsonb;
  option text;
  value jsonb;
  wait_s numeric;
begin
  perform outlast.check_text('set_queue', 'why', why, 1000);
  perform outlast.check_queue_settings(settings);
  q := outlast.lock_queue('set_queue', set_queue.name, by, why => set_queue.why);
  reset := coalesce(reset, false);
  if settings = '{}' and not reset then
    perform outlast.refuse_argument('set_queue', 'settings', 'must name an option, unless all are reset');
  end if;
  wait_s := coalesce((q.base::jsonb #>> '{batch,wait}')::numeric, 0);
  for option, value in select e.key, e.value from jsonb_each(settings) e where e.value <> 'null' loop
    -- The same errors as for code when it is loaded.
    if q.name like 'step:%' and option not in ('concurrency', 'rate') then
      perform outlast.refuse_argument('set_queue', option, 'is nothing that a limit of steps has; use concurrency or rate');
    elsif option in ('per_key', 'rate_per_key', 'weight') and not q.base::jsonb ? 'key' then
      perform outlast.refuse_argument('set_queue', option, 'needs key: it says what the limit is for');
    elsif option = 'rate' and q.base::jsonb ? 'drop' then
      perform outlast.refuse_argument('set_queue', option, 'and drop don''t go together: one lets calls wait, the other turns them away');
    elsif option = 'weight' and value <> '{}' and q.base::jsonb ? 'batch' then
      perform outlast.refuse_argument('set_queue', option, 'and batch don''t go together: a key has one batch in its turn, however large');
    -- All would expire while they wait for their batch to fill.
    -- guard: start-within-a-batchs-wait = elsif false then
    elsif option = 'start_within' and q.base::jsonb ? 'batch' and (value #>> '{}')::numeric <= wait_s then
      perform outlast.refuse_argument('set_queue', option, 'must be longer than the wait of batch, ' || wait_s || ' s');
    end if;
  end loop;
  changed := case when reset then '{}' else coalesce(q.override::jsonb, '{}') end || settings;
  select jsonb_object_agg(e.key, e.value) into changed from jsonb_each(changed) e where e.value <> 'null';
  -- Without an override there is nothing to explain.
  update outlast.queues
  set override = changed::json,
      override_by = case when changed is not null then outlast.actor(by) end,
      override_at = case when changed is not null then now() end,
      override_why = case when changed is not null then why end,
      -- So that the queue decides again at once.
      fault = null, fault_at = null
  where queues.name = q.name;
  if q.name like 'step:%' then
    perform outlast.wake_limit(substr(q.name, 6), null, 10000);
  end if;
  perform outlast.tell_due();
  return true;
end
$$;

comment on function outlast.set_queue(text, jsonb, boolean, text, text) is
  'Set limits of a queue in place of those that code declares: they stay over deploys. null takes one back, reset all.';

create or replace function outlast.pause_queue(
  name text, key text default null, why text default null, by text default null
)
returns boolean
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  q outlast.queues;
begin
  perform outlast.check_text('pause_queue', 'key', key, 255);
  perform outlast.check_text('pause_queue', 'why', why, 1000);
  q := outlast.lock_queue('pause_queue', pause_queue.name, by, pause_queue.key, pause_queue.why);
  if pause_queue.key is null then
    update outlast.queues
    set paused_at = coalesce(paused_at, now()), paused_by = outlast.actor(by), paused_why = why
    where queues.name = q.name;
    return true;
  end if;
  if not q.base::jsonb ? 'key' then
    perform outlast.refuse_argument('pause_queue', 'key', 'can''t be paused alone: this queue has none');
  end if;
  insert into outlast.queue_keys as k (queue, key, paused_at, paused_by, paused_why)
  values (q.name, pause_queue.key, now(), outlast.actor(by), why)
  on conflict (queue, key) do update
    set paused_at = coalesce(k.paused_at, now()), paused_by = excluded.paused_by, paused_why = excluded.paused_why;
  return true;
end
$$;

comment on function outlast.pause_queue(text, text, text, text) is
  'Let nothing begin in a queue, or of one of its keys. What runs goes on; what waits stays.';

create or replace function outlast.resume_queue(name text, key text default null, by text default null)
returns boolean
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  q outlast.queues;
begin
  perform outlast.check_text('resume_queue', 'key', key, 255);
  q := outlast.lock_queue('resume_queue', resume_queue.name, by, resume_queue.key);
  if resume_queue.key is null then
    update outlast.queues set paused_at = null, paused_by = null, paused_why = null where queues.name = q.name;
  else
    delete from outlast.queue_keys k
    where k.queue = q.name and k.key = resume_queue.key;
  end if;
  if q.name like 'step:%' then
    perform outlast.wake_limit(substr(q.name, 6), null, 10000);
  end if;
  perform outlast.tell_due();
  return true;
end
$$;

comment on function outlast.resume_queue(text, text, text) is
  'Let a paused queue go on, or one of its keys. Keys that are paused by themselves stay so.';

create or replace function outlast.drain_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
begin
  update outlast.workflow_status w
  set status = 'CANCELLED', epoch = w.epoch + 1, claimable_at = null, rank = null, held = null, completed_at = now(),
      updated_at = now(), nonce = floor(random() * 9007199254740992)::bigint,
      error = json_build_object('code', 'workflow_cancelled', 'message', 'the workflow was cancelled')
  where w.workflow_id = any(ids);
  return to_jsonb(ids);
end
$$;

create or replace function outlast.drain_queue(
  name text, key text default null, by text default null, out cancelled integer, out more boolean
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  at_once constant integer not null default 10000;
  q outlast.queues;
  waiting text[];
begin
  perform outlast.check_text('drain_queue', 'key', key, 255);
  q := outlast.lock_queue('drain_queue', drain_queue.name, by, drain_queue.key);
  waiting := array(
    select w.workflow_id from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.claimable_at is not null and w.status = 'ENQUEUED'
      -- A workflow that was retried, or has another one's records, has begun before, and may have something
      -- to undo.
      -- guard: drained-though-begun
      and w.generation = 1 and w.forked_from is null
      and (drain_queue.key is null or w.queue_key = drain_queue.key)
    order by w.claimable_at limit at_once
    for no key update skip locked);
  -- guard: one-row-keeps-a-queue-full = cancelled := jsonb_array_length(outlast.drain_rows(waiting, '{}'));
  cancelled := (select jsonb_array_length(r.done) from outlast.one_by_one('drain_rows', waiting) as r);
  more := cardinality(waiting) = at_once and cancelled > 0;
  perform outlast.tell_untold();
end
$$;

comment on function outlast.drain_queue(text, text, text) is
  'Cancel what waits in a queue and has not begun, or that of one key: 10,000 at once, and whether there may be more.';

select outlast.take_rights(
  '20261128231000',
  functions => array['refuse_argument', 'check_text', 'actor', 'check_queue_settings', 'is_span', 'lock_queue', 'drain_rows'],
  of_service => array['set_queue', 'pause_queue', 'resume_queue', 'drain_queue']);

insert into outlast.schema_migrations (version) values ('20261128231000') on conflict do nothing;
