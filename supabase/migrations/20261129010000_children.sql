-- The last commit of a workflow wakes the workflows that wait for its end, and cancels pass down to children.
-- Every statement may run twice.

alter table outlast.workflow_status
  add column if not exists detached boolean not null default false,
  add column if not exists awaited boolean,
  add column if not exists untold boolean not null default true;

comment on column outlast.workflow_status.detached is 'Whether it goes on when the workflow that started it is cancelled.';
comment on column outlast.workflow_status.awaited is
  'Whether one that it was not started by has left the memory to wait for it; of what has a parent that is not noted.';
comment on column outlast.workflow_status.untold is
  'Whether, once it has ended, those who wait for it are to be woken yet, or its children to be cancelled.';

create table if not exists outlast.waits (
  target text references outlast.workflow_status on delete set null,
  event text not null default '',
  waiter text not null,
  due boolean not null default false
);

comment on table outlast.waits is 'What workflows have left the memory for: a row for each that they wait for.';
comment on column outlast.waits.target is 'The workflow that is waited for; null once its row was removed.';
comment on column outlast.waits.event is 'Empty where it is waited for the end.';
comment on column outlast.waits.due is 'Whether it has come, and the waiter is to be woken.';

create unique index if not exists waits_of_target on outlast.waits (target, event, waiter);
create index if not exists waits_due on outlast.waits (waiter) where due or target is null;
-- To find live children, also in families where a million have ended.
create index if not exists workflow_status_live_children on outlast.workflow_status (parent, status)
  where parent is not null and status in ('ENQUEUED', 'PENDING');
-- For ends that nothing has told: by an instance of an older version, by manual SQL, by a function that
-- doesn't tell. No row stays in it for long.
create index if not exists workflow_status_untold on outlast.workflow_status (workflow_id)
  where untold and status not in ('ENQUEUED', 'PENDING')
    and (parent is not null or awaited or (status = 'CANCELLED' and started_at is not null));

create or replace function outlast.mark_awaited(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
begin
  update outlast.workflow_status c set awaited = true where c.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.begin_waits(waiters text[], targets text[], events text[], nonce bigint)
returns integer
language plpgsql
as $$
-- Runs after suspensions that bear `nonce`, in their commit, and records what they wait for. If a target has
-- ended, is gone, or is locked, the waiter is claimable at once, and looks again. So a wait is recorded under
-- the lock of a row that has not ended: its end comes later, and finds the wait. Returns how many are
-- claimable at once.
#variable_conflict use_column
declare
  woken integer;
begin
  -- A call that was attached to another workflow ends with that one.
  targets := array(
    select coalesce(t.target, a.target)
    from unnest(begin_waits.targets) with ordinality as a (target, place)
    left join outlast.attached t on t.workflow_id = a.target
    order by a.place);
  -- Children need no mark: somebody may always wait for them.
  -- guard: refusing-target-fails-its-waiters = perform outlast.mark_awaited(array(
  perform outlast.one_by_one('mark_awaited', array(
    select c.workflow_id from outlast.workflow_status c
    where c.workflow_id = any(begin_waits.targets) and c.parent is null and c.awaited is not true
    for no key update skip locked
  ), '{}');
  with asked as (
    select a.waiter, a.target, a.event
    from unnest(begin_waits.waiters, begin_waits.targets, begin_waits.events) as a (waiter, target, event)
  ), free as materialized (
    select c.workflow_id from outlast.workflow_status c
    where c.workflow_id in (select target from asked)
      -- guard: waits-for-what-has-ended
      and c.status in ('ENQUEUED', 'PENDING')
      and (c.parent is not null or c.awaited)
    -- This lock makes an end wait, or shows an earlier end. Recording takes the same kind of lock, and goes
    -- on.
    -- guard: waits-without-the-lock
    for share of c skip locked
  ), noted as (
    insert into outlast.waits (target, event, waiter)
    select a.target, a.event, a.waiter from asked a join free f on f.workflow_id = a.target
    on conflict do nothing
  )
  update outlast.workflow_status w set claimable_at = now()
  from (select distinct a.waiter from asked a where a.target not in (select workflow_id from free)) as unready
  where w.workflow_id = unready.waiter and w.nonce = begin_waits.nonce and w.owner is null and w.status = 'PENDING';
  get diagnostics woken = row_count;
  return woken;
end
$$;

create or replace function outlast.wake_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- For these waiters, see wake_due.
declare
  woken jsonb;
begin
  with due as (
    select w.ctid as place, w.waiter from outlast.waits w
    where w.waiter = any(ids) and (w.due or w.target is null)
    for update skip locked
  ), free as materialized (
    select p.workflow_id from outlast.workflow_status p
    where p.workflow_id = any(array(select d.waiter from due d))
      and p.owner is null and p.status = 'PENDING' and p.claimable_at is not null
    for no key update of p skip locked
  ), woken as (
    update outlast.workflow_status p
    -- guard: waiters-sleep-on = set claimable_at = p.claimable_at
    set claimable_at = now()
    from free f
    where p.workflow_id = f.workflow_id and p.awaits is not null and p.claimable_at > now()
    returning p.workflow_id
  ), over as (
    delete from outlast.waits w
    using due d
    where w.ctid = d.place and (
      d.waiter in (select f.workflow_id from free f)
      -- guard: locked-waiters-forgotten = or true or not exists (
      or not exists (
        select from outlast.workflow_status p
        where p.workflow_id = d.waiter and p.owner is null and p.status = 'PENDING' and p.claimable_at is not null)
    )
  )
  select coalesce(jsonb_agg(w.workflow_id), '[]') into woken from woken w;
  return woken;
end
$$;

create or replace function outlast.wake_due()
returns integer
language plpgsql
as $$
-- Wakes workflows whose wait is over; returns how many. If a row is locked, its wait is kept, and a later
-- claim handles it. A workflow in memory needs no wake: before it leaves, it sees the row that it waits for.
declare
  number integer;
begin
  select jsonb_array_length(o.done) into number from outlast.one_by_one('wake_rows', array(
    select w.waiter from outlast.waits w where w.due or w.target is null
    group by w.waiter order by w.waiter limit 10000)) as o;
  if number > 0 then
    perform outlast.tell_due();
  end if;
  return number;
end
$$;

create or replace function outlast.tell_ends(ended text[])
returns integer
language plpgsql
as $$
-- Wakes the workflows that wait for these, which have ended in this transaction; returns how many. Each
-- statement of a volatile function sees what was committed before it, but only at READ COMMITTED; see
-- tell_untold.
begin
  -- guard: maps-end-later = ended := ended;
  ended := ended || outlast.end_maps(ended);
  update outlast.waits w set due = true where w.target = any(ended) and w.event = '';
  if not exists (select from outlast.waits w where w.due or w.target is null) then
    return 0;
  end if;
  return outlast.wake_due();
end
$$;

create or replace function outlast.tell_ended(ended text[])
returns integer
language plpgsql
as $$
-- As outlast.tell_ends, in the commit of these ends. They must be committed even if the row of a map refuses.
-- Then the next claim tells the ends of its items.
declare
  items constant text[] := array(select e.id from unnest(ended) as e (id) where position('/map.' in e.id) > 0);
begin
  if cardinality(items) = 0 then
    return outlast.tell_ends(ended);
  end if;
  begin
    return outlast.tell_ends(ended);
  exception when others then
    -- guard: refusing-map-fails-its-items = if true then
    if not outlast.is_of_rows(sqlstate) then
      raise;
    end if;
    raise warning 'outlast: of % it is told later: %', items, sqlerrm;
  end;
  update outlast.workflow_status w set untold = true where w.workflow_id = any(items);
  return outlast.tell_ends(array(select e.id from unnest(ended) as e (id) where e.id <> all(items)));
end
$$;

create or replace function outlast.hold_map(id text)
returns boolean
language plpgsql
as $$
-- Whether the row of this map could be locked, or doesn't exist. It never waits for the lock.
begin
  perform from outlast.workflow_status w where w.workflow_id = id
  -- guard: held-map-holds-up-all = for no key update;
  for no key update skip locked;
  return found or not exists (select from outlast.workflow_status w where w.workflow_id = id);
end
$$;

create or replace function outlast.tell_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- For these, which have ended or must undo: cancels `most` of their children, and wakes the workflows that
-- wait for them.
declare
  found record;
  woken integer;
begin
  select * into found from outlast.cancel_children(ids, (given ->> 'most')::integer);
  woken := outlast.tell_ends(array(
    select w.workflow_id from outlast.workflow_status w
    where w.workflow_id = any(ids) and w.status not in ('ENQUEUED', 'PENDING')));
  return jsonb_build_array(
    jsonb_build_object('cancelled', found.cancelled, 'refused', found.refused, 'going_on', found.going_on, 'woken', woken));
end
$$;

create or replace function outlast.mark_told(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
declare
  done jsonb;
begin
  with told as (
    update outlast.workflow_status w set untold = false
    -- guard: cancels-stop-halfway = where w.workflow_id = any(ids) or (w.status = 'CANCELLED' and (
    where w.workflow_id = any(ids) and not ((w.status = 'CANCELLED' or w.saga is not null) and (
      select true from outlast.workflow_status c
      where c.parent = w.workflow_id and c.parent is not null and c.status in ('ENQUEUED', 'PENDING') and not c.detached
        and (coalesce(c.saga, 'open') = 'open' or w.error ->> 'mode' = 'kill')
      order by c.status limit 1) is not null)
    returning w.workflow_id
  )
  select coalesce(jsonb_agg(t.workflow_id), '[]') into done from told t;
  return done;
end
$$;

create or replace function outlast.tell_untold(out woken integer, out more boolean)
language plpgsql
-- A session keeps plans that it made while the table was empty, and they would always read the whole table.
set enable_seqscan = off
as $$
-- Handles ends that were not told yet. It wakes waiters, and cancels the children of cancelled workflows
-- (also while these undo), generation after generation, some thousands in one commit. The next claim of any
-- instance handles the rest, rows that refuse, and items of a map whose row is locked.
declare
  most constant integer not null default 5000;
  untold text[];
  refused text[] := array[]::text[];
  cancelled integer := 0;
  passed integer;
  done integer;
  told record;
  marked record;
begin
  woken := 0;
  more := false;
  -- At higher levels a snapshot may be older than a wait. Then the next claim tells.
  -- guard: told-from-an-old-snapshot = if false then
  if current_setting('transaction_isolation') <> 'read committed' then
    return;
  end if;
  loop
    untold := array(
      select w.workflow_id from outlast.workflow_status w
      where w.untold and w.status not in ('ENQUEUED', 'PENDING')
        and (w.parent is not null or w.awaited or (w.status = 'CANCELLED' and w.started_at is not null))
        -- guard: refused-ones-fill-tellings
        and w.workflow_id <> all(refused)
        -- An item is in its map's own queue.
        and ((w.queue = w.parent) is not true or outlast.hold_map(w.parent))
      order by w.workflow_id limit 1000
      for no key update skip locked
    ) || array(
      select w.workflow_id from outlast.workflow_status w
      -- guard: children-outlast-the-undoing = where false
      where w.untold and w.saga = 'stopping' and w.workflow_id <> all(refused)
      order by w.owner limit 1000
      for no key update skip locked);
    exit when cardinality(untold) = 0 or cardinality(refused) >= most;
    select * into told from outlast.one_by_one('tell_rows', untold, jsonb_build_object('most', most - cancelled));
    select coalesce(sum((t ->> 'cancelled')::integer), 0), woken + coalesce(sum((t ->> 'woken')::integer), 0)
    into passed, woken from jsonb_array_elements(told.done) as t;
    cancelled := cancelled + passed;
    select * into marked from outlast.one_by_one('mark_told', array(
      select u.id from unnest(untold) as u (id) where u.id <> all(told.refused)
      -- guard: kills-end-before-all-is-killed = ));
      except select jsonb_array_elements_text(t -> 'going_on') from jsonb_array_elements(told.done) as t));
    done := jsonb_array_length(marked.done);
    refused := refused || told.refused || marked.refused;
    -- Rows that refuse aren't tried again at once.
    -- guard: refused-ends-told-at-once = more := done < cardinality(untold);
    more := done < cardinality(untold) and cardinality(refused) = 0 and not told.done @> '[{"refused": true}]';
    exit when cancelled >= most or (passed = 0 and done = 0 and cardinality(told.refused || marked.refused) = 0);
  end loop;
  more := more or cancelled >= most;
  if not exists (select from outlast.waits w where w.due or w.target is null) then
    return;
  end if;
  woken := woken + outlast.wake_due();
end
$$;

create or replace function outlast.cancel_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
begin
  return (
    select coalesce(jsonb_agg(c.workflow_id), '[]')
    from outlast.cancel_workflows(ids, given ->> 'message', kill => coalesce((given ->> 'kill')::boolean, false)) c);
end
$$;

create or replace function outlast.lock_children(parents text[], undoing boolean, most integer)
returns setof text
language plpgsql
-- As outlast.alive_below.
set enable_sort = off
set jit = off
as $$
-- Locks `most` of the live children of these, except rows that are locked; with `undoing` also those that
-- undo.
begin
  return query
  select c.workflow_id from unnest(parents) as p (id) cross join lateral (
    select c.workflow_id from outlast.workflow_status c
    where c.parent = p.id and c.parent is not null and c.status in ('ENQUEUED', 'PENDING')
      -- guard: detached-children-cancelled
      and not c.detached
      and (undoing or coalesce(c.saga, 'open') = 'open')
    order by c.status
    for no key update skip locked) as c
  limit most;
end
$$;

create or replace function outlast.alive_below(ids text[])
returns table (top text, workflow_id text)
language plpgsql
stable
-- A scan along the index for each, in its order. If the planner took a family for one of the largest, it
-- would read all failures for each, and compile that.
set enable_sort = off
set jit = off
as $$
-- The live workflows below each of these, which are cancelled: their children, and the children of those that
-- were stopped before and have ended. A killed workflow handles those below it itself.
#variable_conflict use_column
begin
  return query
  with recursive line (top, id) as (
    select i.id, i.id from unnest(ids) as i (id)
    union all
    select l.top, c.workflow_id from line l cross join lateral (
      select c.workflow_id from outlast.workflow_status c
      where c.parent = l.id and c.parent is not null and c.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and not c.detached
        -- guard: kills-stop-at-the-cancelled = and false
        and case c.status when 'CANCELLED' then c.error ->> 'mode' is distinct from 'kill'
          -- Over a million failures the second test alone takes ten times as long.
          else strpos(c.error::text, 'workflow_timeout') > 0 and outlast.ended_by_stop(c) end
      order by c.workflow_id collate "C" offset 0) as c
  )
  select l.top, c.workflow_id from line l cross join lateral (
    select c.workflow_id from outlast.workflow_status c
    where c.parent = l.id and c.parent is not null and c.status in ('ENQUEUED', 'PENDING') and not c.detached
    order by c.status offset 0) as c;
end
$$;

create or replace function outlast.cancel_children(
  parents text[], most integer, out cancelled integer, out refused boolean, out going_on text[]
)
language plpgsql
as $$
-- Cancels `most` children of those that are cancelled; returns how many, and whether a row refused. Locked
-- rows are skipped. Children of a killed workflow are killed, and so are those that still undo below its
-- other descendants. `going_on`: the killed ones below which something was still alive.
#variable_conflict use_column
declare
  done record;
  childless text[];
  below text[];
  stopped text[];
  killers text[];
begin
  cancelled := 0;
  refused := false;
  going_on := '{}';
  -- By their ids only: with a condition for ended ones the planner may read all rows that have ended.
  select coalesce(array_agg(k.id) filter (where p.killed), '{}'), coalesce(array_agg(k.id) filter (where not p.killed), '{}')
  into killers, stopped
  from unnest(parents) as k (id) cross join lateral (
    select p.status, p.saga, p.status = 'CANCELLED' and coalesce(p.error ->> 'mode' = 'kill', false) as killed
    from outlast.workflow_status p where p.workflow_id = k.id offset 0) as p
  where p.status = 'CANCELLED' or p.saga = 'stopping';
  if cardinality(killers) > 0 then
    select * into done from outlast.one_by_one(
      'cancel_rows',
      -- guard: killed-ones-children-undo = array[]::text[],
      array(select outlast.lock_children(killers, true, most)),
      '{"message": "the workflow that started it was cancelled", "kill": true}');
    cancelled := jsonb_array_length(done.done);
    refused := cardinality(done.refused) > 0;
    most := most - cancelled;
    -- Only once none of its own children is alive, so that thousands of them are searched once.
    childless := array(
      select k.id from unnest(killers) as k (id)
      where (
        select true from outlast.workflow_status c
        where c.parent = k.id and c.parent is not null and c.status in ('ENQUEUED', 'PENDING') and not c.detached
        order by c.status limit 1) is null);
    select array_agg(distinct b.top), array_agg(b.workflow_id) into going_on, below from outlast.alive_below(childless) as b;
    going_on := going_on || array(select unnest(killers) except select unnest(childless));
    select * into done from outlast.one_by_one('cancel_rows', array(
      select c.workflow_id from outlast.workflow_status c
      where c.workflow_id = any(below)
      limit most
      for no key update of c skip locked
    ), '{"message": "the workflow that started it was cancelled", "kill": true}');
    cancelled := cancelled + jsonb_array_length(done.done);
    refused := refused or cardinality(done.refused) > 0;
    most := most - jsonb_array_length(done.done);
  end if;
  if cardinality(stopped) = 0 then
    return;
  end if;
  -- Those that undo are cancelled already.
  select * into done from outlast.one_by_one(
    'cancel_rows', array(select outlast.lock_children(stopped, false, most)),
    '{"message": "the workflow that started it was cancelled"}');
  cancelled := cancelled + jsonb_array_length(done.done);
  refused := refused or cardinality(done.refused) > 0;
end
$$;

create or replace function outlast.detach(workflow_id text)
returns boolean
language sql
as $$
  -- In the transaction that inserted it.
  update outlast.workflow_status w set detached = true where w.workflow_id = detach.workflow_id returning true
$$;

create or replace function outlast.cancel_as(workflow_id text, by text)
returns boolean
language plpgsql
as $$
begin
  perform from outlast.cancel_workflows(
    array[cancel_as.workflow_id], 'the workflow was cancelled', by => outlast.actor(cancel_as.by));
  if not found then
    return false;
  end if;
  perform outlast.tell_untold();
  return true;
end
$$;

create or replace function outlast.cancel_any(workflow_id text)
returns boolean
language sql
security definer
as $$ select outlast.cancel_as(workflow_id, null) $$;

create or replace function outlast.cancel_own(workflow_id text)
returns boolean
language plpgsql
security definer
as $$
declare
  me constant text := outlast.subject(outlast.claims());
begin
  return exists (
    select from outlast.workflow_status w where w.workflow_id = cancel_own.workflow_id and w.subject = me
  ) and outlast.cancel_as(cancel_own.workflow_id, 'user ' || me);
end
$$;

create or replace function outlast.cancel(workflow_id text)
returns boolean
language plpgsql
as $$
begin
  -- As for outlast.start.
  if has_function_privilege('outlast.cancel_any(text)', 'execute') then
    return outlast.cancel_any(workflow_id);
  end if;
  return outlast.cancel_own(workflow_id);
end
$$;

comment on function outlast.cancel_any(text) is 'End a workflow as CANCELLED, whoever it belongs to.';
comment on function outlast.cancel_own(text) is 'End a workflow of the signed-in user as CANCELLED.';
comment on function outlast.cancel(text) is
  'End a workflow as CANCELLED; whether it was live, and the caller''s to cancel.';

select outlast.take_rights(
  '20261129010000',
  functions => array[
    'mark_awaited', 'begin_waits', 'wake_rows', 'wake_due', 'tell_ends', 'tell_ended', 'hold_map', 'tell_rows', 'mark_told',
    'tell_untold', 'cancel_rows', 'lock_children', 'alive_below', 'cancel_children', 'detach', 'cancel_as', 'cancel_own'],
  tables => array['waits'],
  of_service => array['cancel', 'cancel_any']);

insert into outlast.schema_migrations (version) values ('20261129010000') on conflict do nothing;
