-- Named limits of steps: how many run at once, how many begin within a time. Every statement may run twice.

create table if not exists outlast.limit_uses (
  name text not null,
  workflow_id text not null,
  epoch bigint not null,
  step_id text not null,
  at timestamptz not null,
  given_up boolean not null default false,
  primary key (name, workflow_id, step_id, epoch)
);

comment on table outlast.limit_uses is
  'Which steps have begun under a limit. One holds its place until it is recorded, or was given up and has ended, or its workflow is claimed anew.';

create index if not exists limit_uses_at on outlast.limit_uses (name, at);

create table if not exists outlast.limit_waits (
  name text not null,
  workflow_id text not null,
  step_id text not null,
  since timestamptz not null,
  asks_at timestamptz not null,
  primary key (name, workflow_id, step_id)
);

comment on table outlast.limit_waits is
  'Which steps wait for a place under a limit, since when, and when they ask again. They stay while their workflows are out of memory.';

create index if not exists limit_waits_since on outlast.limit_waits (name, since);

create or replace function outlast.take_limit(
  name text, options json, workflow_id text, epoch bigint, step_id text
)
returns float8
language plpgsql
as $$
-- Null if a step may begin now; otherwise in how many seconds to ask again. A step that asks again after a
-- lost answer gets the same answer. Limits are among the queues, as step:NAME, where operators find them.
#variable_conflict use_column
declare
  full_name constant text not null default 'step:' || name;
  q outlast.queues;
  o jsonb;
  t timestamptz;
  n integer;
  per interval;
  free_at timestamptz;
  waits_since timestamptz;
  before_it integer;
  wait_s float8;
begin
  -- guard: limit-taken-by-two
  perform pg_advisory_xact_lock(hashtextextended('outlast_limit:' || take_limit.name, 0));
  select * into q from outlast.queues where queues.name = full_name;
  if not found or q.base::jsonb <> options::jsonb then
    insert into outlast.queues as u (name, base, declared_at) values (full_name, options, now())
    on conflict (name) do update set base = excluded.base, declared_at = excluded.declared_at
    returning u.* into q;
  end if;
  if exists (
    select from outlast.limit_uses u
    where u.name = take_limit.name and u.workflow_id = take_limit.workflow_id
      and u.step_id = take_limit.step_id and u.epoch = take_limit.epoch
  ) then
    return null;
  end if;
  o := outlast.queue_options(q.base, q.override);
  -- As in outlast.claim_queue.
  t := clock_timestamp();
  -- guard: clock-set-back-under-a-limit = if false then
  if q.decided_at > t + interval '1 s' then
    update outlast.limit_uses u set at = t where u.name = take_limit.name and u.at > t;
    update outlast.limit_waits x set since = t where x.name = take_limit.name and x.since > t;
  else
    t := greatest(t, q.decided_at);
  end if;
  select r.n, r.per into n, per from outlast.limit_rate(o) r;
  -- Uses that hold no place any more, and are too old for the rate.
  delete from outlast.limit_uses u
  where u.name = take_limit.name and u.at < t - coalesce(per, '0') and not outlast.holds_limit(u);
  if q.paused_at is not null or outlast.limit_room(take_limit.name, o, t) <= 0 then
    select x.since into waits_since from outlast.limit_waits x
    where x.name = take_limit.name and x.workflow_id = take_limit.workflow_id and x.step_id = take_limit.step_id;
    waits_since := coalesce(waits_since, t);
    if q.paused_at is null and n is not null then
      -- With a rate: when those that wait longer have begun. Otherwise all would ask at once, and only one
      -- would succeed. A workflow that has ended, is held, or didn't ask when it should have, isn't counted.
      select count(*) into before_it from (
        select from outlast.limit_waits x
        join outlast.workflow_status w on w.workflow_id = x.workflow_id
        where x.name = take_limit.name and x.since < waits_since and x.asks_at >= t - interval '1 minute'
          -- guard: ended-ones-still-wait
          and w.status in ('ENQUEUED', 'PENDING') and w.held is null
        limit 1000
      ) as s;
      select u.at + per * (1 + before_it / n) into free_at from outlast.limit_uses u
      where u.name = take_limit.name order by u.at desc offset n - 1 - before_it % n limit 1;
    end if;
    -- If that time is unknown, the instance that frees a place wakes it where it can. So it asks less and
    -- less often.
    wait_s := coalesce(
      extract(epoch from nullif(greatest(free_at, t), t) - t),
      least(60, greatest(0.2, extract(epoch from t - waits_since) / 2)));
    insert into outlast.limit_waits as x (name, workflow_id, step_id, since, asks_at)
    values (
      take_limit.name, take_limit.workflow_id, take_limit.step_id, waits_since, t + make_interval(secs => wait_s))
    on conflict (name, workflow_id, step_id) do update set asks_at = excluded.asks_at;
    return wait_s;
  end if;
  insert into outlast.limit_uses (name, workflow_id, epoch, step_id, at)
  values (take_limit.name, take_limit.workflow_id, take_limit.epoch, take_limit.step_id, t);
  delete from outlast.limit_waits x
  where x.name = take_limit.name and x.workflow_id = take_limit.workflow_id and x.step_id = take_limit.step_id;
  update outlast.queues set decided_at = t where queues.name = full_name;
  return null;
end
$$;

create or replace function outlast.holds_limit(use outlast.limit_uses)
returns boolean
language sql
stable
as $$
  select not use.given_up and exists (
    select from outlast.workflow_status w
    where w.workflow_id = use.workflow_id and w.epoch = use.epoch and w.owner is not null
  ) and not exists (
    select from outlast.operation_outputs o
    where o.workflow_id = use.workflow_id and o.step_id = use.step_id
  )
$$;

create or replace function outlast.limit_held(name text)
returns integer
language sql
stable
as $$
  select count(*)::integer from outlast.limit_uses u where u.name = limit_held.name and outlast.holds_limit(u)
$$;

create or replace function outlast.limit_rate(options jsonb, out n integer, out per interval)
language sql
immutable
as $$
  -- A smooth rate lets one begin at a time. Null without a rate.
  select case when s.smooth then 1 else s.n end, make_interval(secs => case when s.smooth then s.per / s.n else s.per end)
  from (
    select (options #>> '{rate,n}')::integer as n, (options #>> '{rate,per}')::float8 as per,
      coalesce((options #>> '{rate,smooth}')::boolean, false) as smooth
  ) as s
$$;

create or replace function outlast.limit_room(name text, options jsonb, t timestamptz)
returns integer
language sql
stable
as $$
  -- How many more may begin now.
  select least(
    1000,
    -- guard: limit-concurrency-passed = 1000,
    (options ->> 'concurrency')::integer - outlast.limit_held(limit_room.name),
    -- guard: limit-rate-passed = (select 1000
    (select r.n - count(*)
      from outlast.limit_uses u where u.name = limit_room.name and u.at >= t - r.per))
  from outlast.limit_rate(options) as r
$$;

create or replace function outlast.free_limits(
  me text, given_up json, names text[], out here text[], out due boolean
)
language plpgsql
as $$
-- Frees the places of steps that were given up. Then it wakes as many workflows as have room, the longest
-- waiting first. `here`: workflows in the memory of `me`, which ask again. `due`: others were made claimable.
-- A workflow in another instance's memory asks by itself.
declare
  limit_name text;
  q outlast.queues;
  woken record;
begin
  here := '{}';
  due := false;
  -- A statement that takes the place may still be on its way: it finds this row, and takes nothing.
  insert into outlast.limit_uses as u (name, workflow_id, epoch, step_id, at, given_up)
  select g.name, g.workflow_id, g.epoch, g.step_id, '-infinity', true
  from json_to_recordset(free_limits.given_up) as g (name text, workflow_id text, epoch bigint, step_id text)
  on conflict (name, workflow_id, step_id, epoch) do update set given_up = true;
  delete from outlast.limit_waits x
  using json_to_recordset(free_limits.given_up) as g (name text, workflow_id text, step_id text)
  where x.name = g.name and x.workflow_id = g.workflow_id and x.step_id = g.step_id;
  foreach limit_name in array names loop
    select * into q from outlast.queues where queues.name = 'step:' || limit_name;
    continue when not found or q.paused_at is not null;
    select * into woken from outlast.wake_limit(
      limit_name, me, outlast.limit_room(limit_name, outlast.queue_options(q.base, q.override), clock_timestamp()));
    here := here || woken.here;
    due := due or woken.due;
  end loop;
end
$$;

create or replace function outlast.free_waiters(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
begin
  update outlast.workflow_status w set claimable_at = now() where w.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.wake_limit(
  limit_name text, me text, most integer, out here text[], out due boolean
)
language plpgsql
as $$
-- Lets `most` of the workflows that wait for a limit ask again now: returns the ids of those in the memory of
-- `me`, and makes those in no memory claimable.
declare
  away text[];
  refused text[] := array[]::text[];
  done record;
begin
  -- A workflow that didn't ask when it should have no longer waits: it has ended, or its body went on without
  -- the step.
  delete from outlast.limit_waits x
  using (
    select o.workflow_id, o.step_id from outlast.limit_waits o
    where o.name = limit_name order by o.since limit 100
  ) as oldest
  where x.name = limit_name and x.workflow_id = oldest.workflow_id and x.step_id = oldest.step_id
    and (x.asks_at < now() - interval '1 minute' or not exists (
      select from outlast.workflow_status w
      where w.workflow_id = x.workflow_id and w.status in ('ENQUEUED', 'PENDING')));
  -- If a row refuses, the next one takes its turn.
  loop
    with longest as (
      select w.workflow_id, w.owner
      from outlast.limit_waits x
      join outlast.workflow_status w on w.workflow_id = x.workflow_id
      where x.name = limit_name and w.status = 'PENDING' and w.held is null
        and (w.owner = me or (w.owner is null and (w.awaits -> 'limits')::jsonb ? limit_name))
        -- guard: refusing-waiters-keep-places
        and w.workflow_id <> all(refused)
      order by x.since limit most
    )
    select coalesce(array_agg(l.workflow_id) filter (where l.owner is not null), '{}'),
      array_agg(l.workflow_id) filter (where l.owner is null)
    into here, away
    from longest l;
    due := away is not null;
    -- guard: freed-places-wake-nobody = exit;
    exit when not due;
    select * into done from outlast.one_by_one('free_waiters', array(
      select s.workflow_id from outlast.workflow_status s
      where s.workflow_id = any(away) and s.owner is null and s.claimable_at > now()
      for no key update skip locked));
    exit when cardinality(done.refused) = 0 or cardinality(refused) > 100;
    refused := refused || done.refused;
  end loop;
  if due then
    perform outlast.tell_due();
  end if;
end
$$;

select outlast.take_rights(
  '20261128230100',
  functions => array[
    'take_limit', 'limit_held', 'limit_rate', 'limit_room', 'free_limits', 'free_waiters', 'wake_limit', 'holds_limit'],
  tables => array['limit_uses', 'limit_waits']);

insert into outlast.schema_migrations (version) values ('20261128230100') on conflict do nothing;
