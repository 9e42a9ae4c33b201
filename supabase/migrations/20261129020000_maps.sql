-- Maps: a workflow's many items, each a child of its own, and how a map ends. Every statement may run twice.

alter table outlast.workflow_status add column if not exists map json;
comment on column outlast.workflow_status.map is
  'Of a map, which is the parent of its items and runs nothing itself: how many there are, how many have been started, what it tolerates.';

-- The items of a map over something other than a list, as they were when it began, until each has been
-- started.
create table if not exists outlast.map_sources (
  map_id text not null references outlast.workflow_status on delete cascade deferrable initially deferred,
  place integer not null,
  key text collate "C",
  item json,
  primary key (map_id, place)
);
comment on table outlast.map_sources is 'Items of maps over queries and generators: all of them before the first one starts.';
create unique index if not exists map_sources_key on outlast.map_sources (map_id, key) where key is not null;
-- Children that succeeded cost it nothing.
create index if not exists workflow_status_failed_children on outlast.workflow_status (parent, workflow_id collate "C")
  where parent is not null and status in ('ERROR', 'CANCELLED', 'EXHAUSTED');

create or replace function outlast.map_counts(
  map_id text, out total integer, out started integer, out ok integer, out failed integer
)
language sql
stable
as $$
  -- Counted from rows, by indexes without the items that succeeded.
  select (w.map ->> 'total')::integer, (w.map ->> 'started')::integer,
    -- When a map begins again, there may be more items than it has started.
    greatest(0, (w.map ->> 'started')::integer - f.n - (
      select count(*) from outlast.workflow_status x
      where x.queue = map_id and x.owner is null and x.claimable_at is not null and x.status = 'ENQUEUED'
    )::integer - (
      select count(*) from outlast.workflow_status x where x.queue = map_id and x.status = 'PENDING'
    )::integer - coalesce((w.map ->> 'dropped')::integer, 0)),
    f.n
  from outlast.workflow_status w
  cross join lateral (
    select count(*)::integer as n from outlast.workflow_status x
    where x.parent = map_id and x.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')
  ) as f
  where w.workflow_id = map_id and w.map is not null
$$;

create or replace function outlast.map_text(map_id text)
returns text
language sql
stable
as $$
  select 'map ' || w.function || ' ' || c.ok + c.failed || '/' || c.total
    || case when c.failed > 0 then ', ' || c.failed || ' failed' else '' end
  from outlast.workflow_status w cross join outlast.map_counts(map_id) c
  where w.workflow_id = map_text.map_id and w.map is not null
$$;

create or replace function outlast.tell_map(map_id text, number integer)
returns void
language plpgsql
as $$
-- Publishes the progress of a map: one event of its parent, overwritten each time. `number` is a place in the
-- parent's order that its owner gives. Without it the event is published only while no instance owns the
-- parent.
declare
  m outlast.workflow_status;
  c record;
  event constant text not null default regexp_replace(map_id, '^.*/', '');
begin
  select * into m from outlast.workflow_status w where w.workflow_id = map_id;
  if number is null then
    perform from outlast.workflow_status w
    -- guard: progress-beside-the-owner = where w.workflow_id = m.parent and w.status = 'PENDING'
    where w.workflow_id = m.parent and w.status = 'PENDING' and w.owner is null
    for no key update skip locked;
    if not found then return; end if;
    select coalesce(max(o.completion_order), 0) + 1 into number
    from outlast.operation_outputs o where o.workflow_id = m.parent;
  else
    -- Readers look for the event under this row's lock before they wait for it.
    perform from outlast.workflow_status w where w.workflow_id = m.parent for share;
  end if;
  select * into c from outlast.map_counts(map_id);
  insert into outlast.operation_outputs as o (
    workflow_id, step_id, name, kind, output, attempts, completion_order, started_at, completed_at
  )
  values (
    m.parent, event, 'publish ' || event, 'publish',
    json_build_object('total', c.total, 'started', c.started, 'ok', c.ok, 'failed', c.failed),
    0, number, clock_timestamp(), clock_timestamp()
  )
  on conflict (workflow_id, step_id) do update
    set output = excluded.output, completion_order = excluded.completion_order,
        started_at = excluded.started_at, completed_at = excluded.completed_at;
  -- guard: progress-wakes-nobody
  perform outlast.tell_events(array[m.parent], array[event]);
end
$$;

create or replace function outlast.look_at_map(id text)
returns boolean
language plpgsql
as $$
-- Called after items of a map have ended, in the same commit: whether the map is over now. It locks the map's
-- row, and each statement sees what was committed before it. So if the last two items end on two instances,
-- the later one sees the other.
declare
  w outlast.workflow_status;
  m jsonb;
  c record;
  remains boolean;
  failed boolean;
  began timestamptz;
begin
  -- guard: last-items-miss-each-other = select * into w from outlast.workflow_status x where x.workflow_id = id and x.map is not null;
  select * into w from outlast.workflow_status x where x.workflow_id = id and x.map is not null for no key update;
  if not found then return false; end if;
  remains := (
    select true from outlast.workflow_status x where x.queue = id and x.owner is null and x.claimable_at is not null
    order by x.claimable_at limit 1
  ) is not null or (
    select true from outlast.workflow_status x where x.queue = id and x.status = 'PENDING'
    order by (x.owner is not null)::integer, x.queue_key limit 1
  ) is not null;
  m := w.map::jsonb;
  -- While its failed items go on, after a retry of its workflow, it isn't over.
  -- guard: reopening-maps-end = if false then
  if w.status = 'PENDING' and m ? 'reopening' and not (m ->> 'stopped')::boolean then
    return false;
  end if;
  if w.status = 'PENDING' and not (m ->> 'stopped')::boolean and (
    select count(*) from (
      select from outlast.workflow_status x
      where x.parent = id and x.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') limit (m ->> 'tolerate')::integer + 1
    ) as failed
  -- guard: failures-tolerated-without-end = ) < 0 then
  ) > (m ->> 'tolerate')::integer then
    m := m || '{"stopped": true}';
    update outlast.workflow_status x set map = m, updated_at = now() where x.workflow_id = id;
    -- Nothing more begins, since this rate allows no start; items that have begun go on.
    update outlast.queues q
    set base = q.base::jsonb || '{"rate": {"n": 1, "per": 315360000}}', override = null where q.name = id;
    insert into outlast.queue_starts (queue, key, at)
    select id, '', greatest(clock_timestamp(), q.decided_at) from outlast.queues q where q.name = id;
  end if;
  if w.status = 'PENDING' and not remains and ((m ->> 'stopped')::boolean or m -> 'started' = m -> 'total') then
    select * into c from outlast.map_counts(id);
    -- A map that was stopped before all items ran has not succeeded, even if none failed: a retry of its
    -- workflow goes on.
    -- guard: stopped-maps-succeed = failed := c.failed > (m ->> 'tolerate')::integer;
    failed := c.failed > (m ->> 'tolerate')::integer or (c.ok + c.failed = c.total) is not true;
    update outlast.workflow_status x
    set status = case when failed then 'ERROR' else 'SUCCESS' end,
        output = case when not failed then json_build_object('total', c.total, 'ok', c.ok, 'failed', c.failed) end,
        error = case when failed then json_build_object(
          'code', 'map_failed',
          'message', 'map ' || w.function || ': ' || c.failed || ' of ' || coalesce(c.total, 0) || ' items failed, '
            || (m ->> 'tolerate') || ' were tolerated, ' || c.ok || ' succeeded and '
            || coalesce(c.total - c.ok - c.failed, 0) || ' did not run',
          'total', c.total, 'ok', c.ok, 'failed', c.failed) end,
        epoch = x.epoch + 1, completed_at = now(), updated_at = now()
    where x.workflow_id = id;
    perform outlast.tell_map(id, null);
  elsif w.status = 'PENDING' and (m ->> 'tell_at')::float8 <= extract(epoch from clock_timestamp()) then
    began := clock_timestamp();
    perform outlast.tell_map(id, null);
    -- Once a second, or less often if counting takes long.
    m := m || jsonb_build_object('tell_at', extract(epoch from clock_timestamp() + interval '1 s' + 50 * (clock_timestamp() - began)));
    update outlast.workflow_status x set map = m where x.workflow_id = id;
  end if;
  if not remains and (w.status <> 'PENDING' or (m ->> 'stopped')::boolean or m -> 'started' = m -> 'total') then
    delete from outlast.queues q where q.name = id;
    delete from outlast.queue_starts s where s.queue = id;
    return w.status = 'PENDING';
  end if;
  return false;
end
$$;

create or replace function outlast.finish_map(id text)
returns void
language plpgsql
as $$
-- Ends a map if all of its items ended before it was known that no more would come: then no item's commit
-- ends it.
begin
  if outlast.look_at_map(id) then
    perform outlast.tell_ends(array[id]);
  end if;
end
$$;

create or replace function outlast.end_maps(ended text[])
returns text[]
language plpgsql
as $$
-- The maps that are over with these workflows, which have just ended. In order of their ids, so that two
-- transactions that lock several maps can't deadlock.
declare
  id text;
  over text[] := array[]::text[];
begin
  for id in
    select distinct w.parent from outlast.workflow_status w
    -- An item is in its map's own queue.
    where w.workflow_id in (select e.id from unnest(ended) as e (id) where position('/map.' in e.id) > 0)
      and w.queue = w.parent
    order by w.parent
  loop
    if outlast.look_at_map(id) then
      over := over || id;
    end if;
  end loop;
  return over;
end
$$;

create or replace function outlast.is_map_stopped(w outlast.workflow_status)
returns boolean
language sql
stable
as $$
  -- Whether no more items of this map may begin: too many have failed, or its workflow ended without waiting
  -- for it.
  select w.map is not null and ((w.map ->> 'stopped')::boolean or not exists (
    select from outlast.workflow_status p where p.workflow_id = w.parent and p.status in ('ENQUEUED', 'PENDING')))
$$;

create or replace function outlast.maps_stopped()
returns boolean
language sql
stable
as $$
  -- Whether any map must be stopped, or its queue removed.
  select exists (
    select from outlast.queues q
    cross join lateral (
      select outlast.is_map_stopped(w) as stopped from outlast.workflow_status w where w.workflow_id = q.name offset 0
    ) as m
    where position('/map.' in q.name) > 0 and m.stopped)
$$;

create or replace function outlast.move_map(map_id text, change jsonb)
returns text
language plpgsql
as $$
-- Changes the state of a map, whose row is locked. If the row refuses, the mapping workflow waits as for a
-- locked row.
begin
  update outlast.workflow_status x
  set map = x.map::jsonb || change, updated_at = now()
  where x.workflow_id = move_map.map_id;
  return map_id;
-- guard: refusing-map-fails-its-workflow = exception when assert_failure then
exception when others then
  if not outlast.is_of_rows(sqlstate) then raise; end if;
  raise exception '% stays as it is: %', map_id, sqlerrm using errcode = 'lock_not_available';
end
$$;

create or replace function outlast.remove_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
declare
  done jsonb;
begin
  with gone as (
    delete from outlast.workflow_status x where x.workflow_id = any(ids) returning x.workflow_id
  )
  select coalesce(jsonb_agg(g.workflow_id), '[]') into done from gone g;
  return done;
end
$$;

create or replace function outlast.undo_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Undoing waits for no rate, because these have begun.
begin
  update outlast.workflow_status x set status = 'PENDING' where x.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.stop_items(id text, most integer)
returns boolean
language plpgsql
as $$
-- Stops the items of a map, whose row is locked, see stop_maps. Whether more must be done. An item whose row
-- refuses stays.
declare
  waiting text[];
  dropped integer not null default 0;
  cancelled integer;
begin
  update outlast.workflow_status x set map = x.map::jsonb || '{"stopped": true}'
  where x.workflow_id = id and not (x.map ->> 'stopped')::boolean;
  waiting := array(
    select x.workflow_id from outlast.workflow_status x
    where x.queue = id and x.owner is null and x.claimable_at is not null and x.status = 'ENQUEUED'
      -- guard: begun-items-removed
      and x.generation = 1
    limit most for update skip locked);
  -- guard: refusing-item-keeps-others = dropped := jsonb_array_length(outlast.remove_rows(waiting, '{}'));
  dropped := (select jsonb_array_length(r.done) from outlast.one_by_one('remove_rows', waiting) as r);
  if dropped > 0 then
    update outlast.workflow_status x
    set map = x.map::jsonb || jsonb_build_object('dropped', coalesce((x.map ->> 'dropped')::integer, 0) + dropped)
    where x.workflow_id = id;
  end if;
  cancelled := outlast.cancel_waiting(id, most, 'its map failed before it could go on', above => 1);
  perform outlast.one_by_one('undo_rows', array(
    select w.workflow_id from outlast.workflow_status w
    where w.queue = id and w.owner is null and w.status = 'ENQUEUED' and w.generation > 1 and w.saga is not null
    for no key update skip locked));
  if (select x.map ->> 'on_fail' from outlast.workflow_status x where x.workflow_id = id) = 'cancel' then
    select cancelled + jsonb_array_length(c.done) into cancelled from outlast.one_by_one('cancel_rows', array(
      select x.workflow_id from outlast.workflow_status x
      where x.queue = id and x.status = 'PENDING' and coalesce(x.saga, 'open') = 'open'
      limit most for no key update skip locked
    ), '{"message": "its map failed and cancels what runs"}') c;
  end if;
  return dropped = most or cancelled >= most;
end
$$;

create or replace function outlast.cancel_waiting(id text, most integer, message text, above integer)
returns integer
language plpgsql
as $$
-- Cancels `most` items of a map that wait to begin, or to go on, and whose generation is above `above`;
-- returns how many.
begin
  return (
    select jsonb_array_length(c.done) from outlast.one_by_one('cancel_rows', array(
      select x.workflow_id from outlast.workflow_status x
      where x.queue = id and x.owner is null and x.status = 'ENQUEUED'
        and x.generation > above and coalesce(x.saga, 'open') = 'open'
      limit most for no key update skip locked
    ), jsonb_build_object('message', message)) c);
end
$$;

create or replace function outlast.stop_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- For these maps, whose rows are locked, see stop_maps. Whether more must be done.
declare
  most constant integer not null default (given ->> 'most')::integer;
  id text;
  mapping text;
  number integer;
  more boolean := false;
begin
  foreach id in array ids loop
    mapping := (select x.parent from outlast.workflow_status x where x.workflow_id = id);
    -- The children of a cancelled workflow are cancelled, not removed, whether this or the telling of its end
    -- comes first.
    perform outlast.cancel_children(array[mapping], most);
    -- guard: cancelled-maps-items-removed = if false then
    if exists (
      select from outlast.workflow_status x where x.workflow_id in (id, mapping) and x.status = 'CANCELLED'
    ) then
      number := outlast.cancel_waiting(id, most, 'the workflow that started it was cancelled', above => 0);
      more := more or number = most;
    else
      more := outlast.stop_items(id, most) or more;
    end if;
    if outlast.look_at_map(id) then
      perform outlast.tell_ends(array[id]);
    end if;
  end loop;
  return jsonb_build_array(more);
end
$$;

create or replace function outlast.stop_maps(most integer default 10000)
returns boolean
language plpgsql
as $$
-- For maps that have failed: removes items that have not begun, and cancels running ones if the map says so.
-- An item that waits to go on after a retry has begun. Its records stay, so it is cancelled in either case.
-- Returns whether more must be done.
begin
  return (select o.done @> '[true]' from outlast.one_by_one('stop_rows', array(
    -- From the few queues to their maps: a plain join may read all workflows.
    select w.workflow_id
    from (select q.name from outlast.queues q where position('/map.' in q.name) > 0 order by q.name) as q
    cross join lateral (
      select w.workflow_id
      from outlast.workflow_status w
      where w.workflow_id = q.name and outlast.is_map_stopped(w)
      order by w.workflow_id limit 1
      for no key update skip locked
    ) as w
  ), jsonb_build_object('most', most)) as o);
end
$$;

create or replace function outlast.open_map(
  map_id text, parent text, me text, parent_epoch bigint, function text, subject text, claims text, deadline_s float8,
  concurrency integer, map json, fingerprint text
)
returns boolean
language plpgsql
as $$
-- Makes a map and its queue, once; false if this instance no longer owns the parent.
declare
  generation integer;
begin
  select w.generation into generation from outlast.workflow_status w
  -- guard: map-without-fence = where w.workflow_id = open_map.parent;
  where w.workflow_id = open_map.parent and w.epoch = parent_epoch and w.owner = me for share;
  if not found then return false; end if;
  insert into outlast.workflow_status as w (
    workflow_id, function, status, parent, subject, claims, deadline, map, fingerprint, epoch, load_bytes, nonce, started_at
  )
  values (
    open_map.map_id, open_map.function, 'PENDING', open_map.parent, open_map.subject, open_map.claims::json,
    to_timestamp(deadline_s), open_map.map::jsonb || jsonb_build_object('generation', generation), open_map.fingerprint,
    0, 0, floor(random() * 9007199254740992)::bigint, now()
  )
  on conflict (workflow_id) do nothing;
  if found then
    insert into outlast.queues (name, base, declared_at)
    values (open_map.map_id, json_build_object('concurrency', concurrency), now())
    on conflict (name) do nothing;
  end if;
  return true;
end
$$;

select outlast.take_rights(
  '20261129020000',
  functions => array['map_counts', 'map_text', 'tell_map', 'look_at_map', 'finish_map', 'end_maps', 'is_map_stopped', 'maps_stopped',
    'move_map', 'remove_rows', 'undo_rows', 'stop_items', 'cancel_waiting', 'stop_rows', 'stop_maps', 'open_map'],
  tables => array['map_sources']);

insert into outlast.schema_migrations (version) values ('20261129020000') on conflict do nothing;
