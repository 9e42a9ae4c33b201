-- Acts on many rows: on all at once, or one by one if a row refuses. Every statement may run twice.

create or replace function outlast.one_by_one(
  act text, ids text[], given jsonb default '{}', out done jsonb, out refused text[]
)
language plpgsql
as $$
-- Calls `act`, a function of ids and of `given`, which returns an array, for all rows at once. If that fails,
-- it calls it for each row. A row that refuses stays as it is. Errors that don't come from rows are raised.
declare
  call constant text not null default format('select outlast.%I($1, $2)', act);
  id text;
  part jsonb;
begin
  done := '[]';
  refused := '{}';
  if coalesce(cardinality(ids), 0) = 0 then return; end if;
  begin
    execute call into done using ids, given;
    return;
  -- guard: one-row-stops-all = exception when assert_failure then
  exception when others then
    done := '[]';
  end;
  foreach id in array ids loop
    begin
      execute call into part using array[id], given;
      done := done || part;
    exception when others then
      -- guard: conflicts-taken-for-refusals = if false then raise; end if;
      if not outlast.is_of_rows(sqlstate) then raise; end if;
      refused := refused || id;
      raise warning 'outlast.%: % stays as it is: %', act, id, sqlerrm;
    end;
  end loop;
end
$$;

create or replace function outlast.claim_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Claims these workflows for `owner`. The values in `found` are returned with each of them.
declare
  done jsonb;
begin
  with claimed as (
    update outlast.workflow_status w
    set owner = given ->> 'owner',
        -- guard: claim-keeps-epoch
        epoch = w.epoch + 1,
        status = 'PENDING',
        claimable_at = null,
        awaits = null,
        started_at = coalesce(w.started_at, now()),
        -- guard: time-passes-before-a-retry-begins
        born = case when w.retried_at is not null and w.status = 'ENQUEUED' then outlast.goes_on(w.born, now()) else w.born end,
        updated_at = now()
    where w.workflow_id = any(ids)
    returning
      w.workflow_id, w.function, w.epoch, w.subject, w.claims::text, w.version, w.parent, w.recovery_attempts,
      extract(epoch from w.deadline)::float8 as deadline_s, extract(epoch from w.created_at)::float8 as created_s,
      extract(epoch from w.started_at)::float8 as began_s,
      w.tick::text as tick
  )
  select coalesce(jsonb_agg(to_jsonb(c) || (given -> 'found' -> c.workflow_id) order by array_position(ids, c.workflow_id)), '[]')
  into done from claimed c;
  return done;
end
$$;

create or replace function outlast.release_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
begin
  update outlast.workflow_status w
  set owner = null, updated_at = now(),
      claimable_at = coalesce(to_timestamp((given -> w.workflow_id ->> 'due')::float8), now()),
      load_bytes = greatest(w.load_bytes, (given -> w.workflow_id ->> 'load_bytes')::bigint)
  where w.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.recover_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- `attempts` says which recovery attempt each workflow has.
declare
  done jsonb;
begin
  with recovered as (
    update outlast.workflow_status w
    set owner = null,
        -- guard: recovery-keeps-epoch
        epoch = w.epoch + 1,
        recovery_attempts = o.attempts,
        -- guard: never-exhausted = status = 'PENDING',
        status = case when o.attempts > attempts_max then 'EXHAUSTED' else 'PENDING' end,
        claimable_at = case when o.attempts <= attempts_max then
          now() + make_interval(secs => case
            when o.attempts <= 1 then 0
            else least((given ->> 'backoff_max')::float8, (given ->> 'backoff')::float8 * 2 ^ (o.attempts - 2))
              * (0.5 + random() / 2)
          end) end,
        error = case when o.attempts > attempts_max then json_build_object(
          'code', 'recovery_exhausted',
          'message', 'the instances that ran this workflow were lost ' || o.attempts || ' times') end,
        completed_at = case when o.attempts > attempts_max then now() end,
        -- The cancel of an undoing workflow was told to its waiters and children, but its end was not.
        -- guard: exhausted-untold
        untold = w.untold or o.attempts > attempts_max,
        updated_at = now()
    from (
      select i.id, (given -> 'attempts' ->> i.id)::integer as attempts, (given ->> 'attempts_max')::integer as attempts_max
      from unnest(ids) as i (id)
    ) as o
    where w.workflow_id = o.id
    returning w.workflow_id, w.status
  )
  select coalesce(jsonb_agg(r), '[]') into done from recovered r;
  return done;
end
$$;

create or replace function outlast.deliver_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Numbers the messages `given` by their ids. All of these workflows' rows are locked. Returns the workflows
-- that this wakes.
declare
  done jsonb;
begin
  with arrived as (
    select m.message_id, m.workflow_id, m.topic from outlast.messages m
    where m.message_id = any(array(select e.id::bigint from jsonb_array_elements_text(given) as e (id)))
      and m.workflow_id = any(ids)
      -- Another transaction may have numbered some before it released the row.
      and m.number is null
  ), numbered as (
    update outlast.messages m
    set number = a.number
    from (
      select a.message_id, w.mail + row_number() over (partition by a.workflow_id order by a.message_id) as number
      from arrived a
      join outlast.workflow_status w on w.workflow_id = a.workflow_id
    ) as a
    where m.message_id = a.message_id
  ), counted as (
    update outlast.workflow_status w
    set mail = w.mail + a.messages,
        claimable_at = case
          when w.owner is null and w.status = 'PENDING' and exists (
            select from json_array_elements_text(w.awaits -> 'topics') as t (topic) where t.topic = any(a.topics)
          -- guard: wakes-nobody = ) then w.claimable_at
          ) then least(w.claimable_at, now())
          else w.claimable_at end
    from (
      select workflow_id, count(*) as messages, array_agg(topic) as topics from arrived group by workflow_id
    ) as a
    where w.workflow_id = a.workflow_id
    returning w.workflow_id, w.owner is null and w.claimable_at <= now() as woken
  )
  select coalesce(jsonb_agg(c.workflow_id), '[]') into done from counted c where c.woken;
  return done;
end
$$;

create or replace function outlast.deliver(
  most integer, passed text[], out left_over boolean, out woken integer, out refused text[]
)
language plpgsql
as $$
-- Delivers up to `most` messages. It skips workflows in `passed`, whose row refused a moment ago, and
-- workflows whose row is locked, with all of their messages: a later message must not be delivered before an
-- earlier one.
declare
  each record;
  free text[] := array[]::text[];
  held text[] := array[]::text[];
  messages bigint[] := array[]::bigint[];
begin
  for each in
    select m.message_id, m.workflow_id from outlast.messages m
    where m.number is null
      -- guard: refused-ones-fill-deliveries
      and m.workflow_id <> all(passed)
    order by m.message_id
  loop
    continue when each.workflow_id = any(held);
    if not each.workflow_id = any(free) then
      perform from outlast.workflow_status w where w.workflow_id = each.workflow_id
      -- guard: numbered-without-the-lock = ;
      for no key update skip locked;
      -- guard: one-inbox-stops-all = exit when not found; if false then
      if not found then
        held := held || each.workflow_id;
        continue;
      end if;
      free := free || each.workflow_id;
    end if;
    messages := messages || each.message_id;
    exit when cardinality(messages) >= most;
  end loop;
  select jsonb_array_length(o.done), o.refused into woken, refused
  from outlast.one_by_one('deliver_rows', free, to_jsonb(messages)) as o;
  left_over := exists (
    select from outlast.messages m where m.number is null
      -- guard: refused-messages-asked-at-once
      and m.workflow_id <> all(passed || refused)
    order by m.message_id limit 1);
end
$$;

select outlast.take_rights(
  '20261128230050',
  functions => array['one_by_one', 'claim_rows', 'release_rows', 'recover_rows', 'deliver_rows', 'deliver']);

insert into outlast.schema_migrations (version) values ('20261128230050') on conflict do nothing;
