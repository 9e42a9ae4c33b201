-- Why a workflow does not run: computed when somebody asks, not stored. Every statement may run twice.

alter table outlast.instances add column if not exists functions text[];
comment on column outlast.instances.functions is 'The functions that it runs; null until it has told.';

create or replace function outlast.waiting_on_as(workflow_id text, whole boolean)
returns text
language plpgsql
stable
as $$
-- Follows outlast.claim_queue. A reader who may not see the `whole` gets no other workflow's id, no number
-- and no name.
#variable_conflict use_column
declare
  w outlast.workflow_status;
  t timestamptz := clock_timestamp();
begin
  select x.* into w from outlast.workflow_status x where x.workflow_id = waiting_on_as.workflow_id;
  if w.status = 'PENDING' and w.batch is not null then
    return case when whole then 'its batch ' || w.batch else 'its batch' end;
  end if;
  if w.owner is not null or w.claimable_at is null then
    return null;  -- it is running, or has ended
  end if;
  if w.claimable_at > t then
    return case
      when w.awaits -> 'limits' is not null then outlast.limit_text(w.awaits #>> '{limits,0}', w.claimable_at, whole)
      when w.awaits is not null then
        'a message' || (
          select case when string_agg(m.topic, '') <> '' then ' (' || string_agg(m.topic, ', ') || ')' else '' end
          from json_array_elements_text(w.awaits -> 'topics') as m (topic)
        -- A wait for only a message lasts a hundred years.
        ) || case when w.claimable_at < t + interval '50 years' then ', until ' || outlast.at_text(w.claimable_at) else '' end
      when w.status = 'ENQUEUED' then 'its time: ' || outlast.at_text(w.claimable_at)
      when w.recovery_attempts > 0 then
        'recovery, attempt ' || w.recovery_attempts || ' at ' || outlast.at_text(w.claimable_at)
      else 'sleep, until ' || outlast.at_text(w.claimable_at)
    end;
  end if;
  if not exists (
    select from outlast.instances i
    where i.lease_until > t and (i.functions is null or w.function = any(i.functions))
  ) then
    return 'no instance serves ' || w.function;
  end if;
  if w.queue is null then
    return 'room on an instance, since ' || outlast.at_text(w.claimable_at);
  end if;
  return outlast.turn_text(w, t, whole);
exception when others then
  -- A queue's options may be unreadable after an edit of its row. The list with its other workflows must
  -- still work.
  -- guard: faulty-queues-fail-lists = raise;
  return outlast.fault_text(coalesce(w.awaits #>> '{limits,0}', w.queue), sqlerrm, whole);
end
$$;

create or replace function outlast.fault_text(queue text, fault text, whole boolean)
returns text
language sql
immutable
as $$
  select 'fault ' || queue || case when whole then ': ' || left(fault, 1000) else '' end
$$;

create or replace function outlast.turn_text(w outlast.workflow_status, t timestamptz, whole boolean)
returns text
language plpgsql
stable
as $$
-- What a workflow that could begin waits for in its queue. Raises if the queue's options can't be read.
#variable_conflict use_column
declare
  q outlast.queues;
  k outlast.queue_keys;
  o jsonb;
  option text;
  of_key text;
  most integer;
  held record;
  found_at timestamptz;
  rate jsonb;
  span interval;
begin
  select x.* into q from outlast.queues x where x.name = w.queue;
  o := outlast.queue_options(coalesce(q.base, '{}'), q.override);
  of_key := w.queue || '[' || w.queue_key || ']';
  select x.* into k from outlast.queue_keys x where x.queue = w.queue and x.key = w.queue_key;
  if q.paused_at is not null or k.paused_at is not null then
    if not whole then
      return 'paused';
    end if;
    return case when q.paused_at is not null
      then 'paused by ' || coalesce(q.paused_by, 'somebody') || coalesce(': ' || q.paused_why, '')
      else 'paused by ' || coalesce(k.paused_by, 'somebody') || coalesce(': ' || k.paused_why, '') end;
  end if;
  if q.fault is not null then
    return outlast.fault_text(w.queue, q.fault, whole);
  end if;

  if w.status = 'ENQUEUED' and o ? 'batch' then
    found_at := w.claimable_at + make_interval(secs => (o #>> '{batch,wait}')::float8);
    select count(*) into most from (
      select from outlast.workflow_status x
      where x.queue = w.queue and x.queue_key = w.queue_key and x.status = 'ENQUEUED' and x.owner is null
        and x.claimable_at is not null and x.rank is not null and x.held is null
      limit (o #>> '{batch,n}')::integer
    ) as ready;
    if found_at > t and most < (o #>> '{batch,n}')::integer then
      return 'its batch in ' || w.queue
        || case when whole then ' ' || most || '/' || (o #>> '{batch,n}') else '' end || ', until ' || outlast.at_text(found_at);
    end if;
  end if;
  if w.status = 'ENQUEUED' and (o ->> 'exclusive')::boolean then
    select x.workflow_id, x.started_at as since into held from outlast.workflow_status x
    where x.queue = w.queue and x.queue_key = w.queue_key and x.status = 'PENDING' and (x.owner is not null)::integer = any('{0,1}')
    order by x.started_at limit 1;
    if not found then
      select x.workflow_id, x.claimable_at as since into held from outlast.workflow_status x
      where x.queue = w.queue and x.queue_key = w.queue_key and x.status = 'ENQUEUED' and x.owner is null
        and x.claimable_at is not null and x.rank < w.rank
      order by x.rank limit 1;
    end if;
    if found then
      return 'exclusive ' || of_key || case when whole then outlast.held_text(held.workflow_id, held.since) else '' end;
    end if;
  end if;
  most := (o ->> 'per_key')::integer;
  if most is not null then
    select count(*) as number, (array_agg(x.workflow_id order by x.updated_at))[1] as workflow_id, min(x.updated_at) as since
    into held
    from outlast.workflow_status x
    where x.queue = w.queue and x.queue_key = w.queue_key and x.status = 'PENDING' and (x.owner is not null)::integer = 1;
    if held.number >= most then
      return 'concurrency ' || of_key || case when whole then
        ' ' || held.number || '/' || most || outlast.held_text(held.workflow_id, held.since) else '' end;
    end if;
  end if;
  most := (o ->> 'concurrency')::integer;
  if most is not null then
    select count(*) as number, (array_agg(x.workflow_id order by x.updated_at))[1] as workflow_id, min(x.updated_at) as since
    into held
    from outlast.workflow_status x where x.queue = w.queue and x.status = 'PENDING' and (x.owner is not null)::integer = 1;
    if held.number >= most then
      return 'concurrency ' || w.queue || case when whole then
        ' ' || held.number || '/' || most || outlast.held_text(held.workflow_id, held.since) else '' end;
    end if;
  end if;
  most := (o ->> 'per_instance')::integer;
  if most is not null and not exists (
    select from outlast.instances i
    where i.lease_until > t and (i.functions is null or w.function = any(i.functions)) and (
      select count(*) from outlast.workflow_status x where x.queue = w.queue and x.owner = i.instance_id) < most
  ) then
    return 'per_instance ' || w.queue || case when whole then ' ' || most || '/' || most || ' on each' else '' end;
  end if;
  if w.status = 'ENQUEUED' then
    foreach option in array array['rate_per_key', 'rate'] loop
      rate := o -> option;
      continue when rate is null;
      most := (rate ->> 'n')::integer;
      span := make_interval(secs => (rate ->> 'per')::float8);
      if (rate ->> 'smooth')::boolean then
        span := span / most;
        most := 1;
      end if;
      found_at := null;
      if option = 'rate_per_key' then
        select s.at + span into found_at from outlast.queue_starts s
        where s.queue = w.queue and s.key = w.queue_key order by s.at desc offset most - 1 limit 1;
      else
        select s.at + span into found_at from outlast.queue_starts s
        where s.queue = w.queue order by s.at desc offset most - 1 limit 1;
      end if;
      if found_at >= t then
        return 'rate ' || case option when 'rate' then w.queue else of_key end || case when whole then
          ' ' || (rate ->> 'n') || '/' || trim_scale((rate ->> 'per')::numeric) || ' s, next in '
          || greatest(1, ceil(extract(epoch from found_at - t))) || ' s' else '' end;
      end if;
    end loop;
  end if;
  return 'its turn in ' || w.queue || ', since ' || outlast.at_text(w.claimable_at);
end
$$;

create or replace function outlast.limit_text(name text, again_at timestamptz, whole boolean)
returns text
language plpgsql
stable
as $$
-- Follows outlast.take_limit. A workflow that waits for a limit of steps asks again by itself.
declare
  q outlast.queues;
  o jsonb;
  held integer;
begin
  select x.* into q from outlast.queues x where x.name = 'step:' || limit_text.name;
  o := outlast.queue_options(coalesce(q.base, '{}'), q.override);
  if q.paused_at is not null then
    return 'paused' || case when whole
      then ' by ' || coalesce(q.paused_by, 'somebody') || coalesce(': ' || q.paused_why, '') else '' end;
  end if;
  if not whole then
    return 'limit ' || name;
  end if;
  held := outlast.limit_held(limit_text.name);
  return 'limit ' || name || case
    when held >= (o ->> 'concurrency')::integer then ' ' || held || '/' || (o ->> 'concurrency')
    when o ? 'rate' then ' ' || (o #>> '{rate,n}') || '/' || trim_scale((o #>> '{rate,per}')::numeric) || ' s'
    else '' end || ', asks again at ' || outlast.at_text(again_at);
end
$$;

create or replace function outlast.at_text(at timestamptz)
returns text
language sql
immutable
as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;

create or replace function outlast.hold_text(held json, whole boolean)
returns text
language sql
stable
as $$
  -- Why nobody may claim it.
  select case
    when held ->> 'reason' = 'paused' then 'paused' || case when whole
      then ' by ' || coalesce(held ->> 'by', 'somebody') || coalesce(', since ' || outlast.at_text((held ->> 'since')::timestamptz), '')
        || coalesce(': ' || nullif(held ->> 'why', ''), '') else '' end
    else 'held' || case when whole
      then ': ' || (held ->> 'reason') || coalesce(' at step ' || (held ->> 'step'), '') else '' end
  end
$$;

create or replace function outlast.held_text(workflow_id text, since timestamptz)
returns text
language sql
immutable
as $$
  select ', held by ' || workflow_id || coalesce(' since ' || outlast.at_text(since), '')
$$;

create or replace function outlast.ends_text(w outlast.workflow_status, whole boolean)
returns text
language sql
stable
as $$
  -- What a workflow that has left the memory to wait for others' ends waits for.
  select case when not whole then 'another workflow' else
    coalesce(outlast.map_text(w.awaits #>> '{ends,0}'), 'workflow ' || (w.awaits #>> '{ends,0}') || ' (' || coalesce((
      select t.status from outlast.workflow_status t
      where t.workflow_id = coalesce(
        (select a.target from outlast.attached a where a.workflow_id = w.awaits #>> '{ends,0}'), w.awaits #>> '{ends,0}')
    ), 'removed') || ')') || case when (w.awaits ->> 'of')::bigint > 1
      then ' and ' || (w.awaits ->> 'of')::bigint - 1 || ' more' else '' end end
    || case when json_array_length(w.awaits -> 'topics') > 0 then ', or a message' else '' end
    || case when w.claimable_at < clock_timestamp() + interval '50 years'
      then ', until ' || outlast.at_text(w.claimable_at) else '' end
  where w.awaits -> 'ends' is not null and w.claimable_at > clock_timestamp()
$$;

create or replace function outlast.undoing_on(workflow_id text)
returns text
language sql
stable
as $$
  -- The progress of the last saga that began to undo and has not ended.
  with notes as (
    select o.name, o.output, o.completion_order
    from outlast.operation_outputs o
    where o.workflow_id = undoing_on.workflow_id and o.kind = 'undo' and o.name in ('undoing', 'undone')
  ), began as (
    select n.completion_order, (n.output ->> 'total')::integer as total
    from notes n where n.name = 'undoing' order by n.completion_order desc limit 1
  ), done as (
    select b.total, (select count(*) from notes n where n.name = 'undone' and n.completion_order > b.completion_order) as number
    from began b
  )
  select case
      when d.number < d.total then 'undoing: ' || d.number || ' of ' || d.total
        || case when w.owner is null and w.claimable_at > clock_timestamp()
          then ', tries again at ' || outlast.at_text(w.claimable_at) else '' end
      when w.saga in ('stopping', 'undoing') then 'undoing'
    end
  from outlast.workflow_status w left join done d on true
  where w.workflow_id = undoing_on.workflow_id and w.saga is not null and w.status = 'PENDING'
$$;

create or replace function outlast.waiting_for(workflow_id text, whole boolean)
returns text
language sql
stable
as $$
  select coalesce(
    (select outlast.hold_text(w.held, whole) from outlast.workflow_status w
      where w.workflow_id = waiting_for.workflow_id and w.held is not null),
    outlast.undoing_on(waiting_for.workflow_id),
    (select outlast.ends_text(w, whole) from outlast.workflow_status w where w.workflow_id = waiting_for.workflow_id),
    outlast.waiting_on_as(waiting_for.workflow_id, whole))
$$;

create or replace function outlast.waiting_on(workflow_id text)
returns text
language sql
stable
security definer
as $$
  select outlast.waiting_for(w.workflow_id, outlast.sees_all())
  from outlast.workflow_status w
  where w.workflow_id = waiting_on.workflow_id
    and (outlast.sees_all() or w.subject = outlast.subject(outlast.claims()))
$$;

comment on function outlast.waiting_on(text) is
  'Why a workflow does not run now; null for one that runs or has ended. Whoever owns it is told less than the service.';

select outlast.take_rights(
  '20261129050000',
  functions => array[
    'waiting_on_as', 'turn_text', 'fault_text', 'at_text', 'held_text', 'limit_text', 'ends_text', 'undoing_on', 'waiting_for',
    'hold_text'],
  of_users => array['waiting_on']);

insert into outlast.schema_migrations (version) values ('20261129050000') on conflict do nothing;
