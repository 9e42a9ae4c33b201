-- Instances, their leases, their claims, and recovery.

-- name: beat
with renewed as (
  insert into outlast.instances as i (
    instance_id, lease_until, host, version, running, functions, backend_pid, backend_started
  )
  select
    %(instance)s, clock_timestamp() + make_interval(secs => %(ttl)s), %(host)s, %(version)s, %(running)s::json,
    %(functions)s::text[],
    case when %(session)s then pg_backend_pid() end,
    case when %(session)s then
      (select a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()) end
  on conflict (instance_id) do update
    -- guard: renewal-unwritten = set lease_until = i.lease_until,
    set lease_until = excluded.lease_until,
        running = coalesce(excluded.running, i.running),
        functions = coalesce(excluded.functions, i.functions),
        backend_pid = excluded.backend_pid,
        backend_started = excluded.backend_started
  returning 1
), owned as (
  select workflow_id, epoch from outlast.workflow_status where owner = %(instance)s
)
select
  extract(epoch from clock_timestamp())::float8 as database_s,
  coalesce((select array_agg(workflow_id order by workflow_id) from owned), '{}') as workflow_ids,
  coalesce((select array_agg(epoch order by workflow_id) from owned), '{}') as epochs
from renewed

-- name: leave
update outlast.instances set lease_until = '-infinity' where instance_id = %(instance)s

-- name: forget_old_instances
delete from outlast.instances i
where i.lease_until < now() - interval '1 day'
  and not exists (select from outlast.workflow_status w where w.owner = i.instance_id)

-- name: adopt_orphans
-- Workflows whose owner has no row any more: it was removed, and the instance wrote once more before it died.
insert into outlast.instances (instance_id, lease_until)
select distinct w.owner, '-infinity'::timestamptz
from outlast.workflow_status w
where w.owner is not null
  and not exists (select from outlast.instances i where i.instance_id = w.owner)
on conflict do nothing

-- name: release
-- A row that is locked is left to a later beat: the next beat must not wait for it.
with given as materialized (
  select r.workflow_id, r.due, r.load_bytes
  from unnest(%(ids)s::text[], %(epochs)s::bigint[], %(load_bytes)s::bigint[], %(due)s::float8[])
    as r (workflow_id, epoch, load_bytes, due)
  join outlast.workflow_status w on w.workflow_id = r.workflow_id
  where w.owner = %(instance)s
    -- guard: release-without-epoch
    and w.epoch = r.epoch
  -- guard: releases-wait-for-rows = for no key update of w
  for no key update of w skip locked
)
select r.refused
from (select array_agg(workflow_id) as ids, jsonb_object_agg(workflow_id, to_jsonb(g)) as rows from given g) as g
cross join lateral outlast.one_by_one('release_rows', g.ids, g.rows) as r

-- name: claim
with sessions as materialized (
  -- Materialized, because each read of pg_stat_activity lists all sessions.
  select pid, backend_start, backend_type from pg_stat_activity
), lost as (
  select
    i.instance_id, extract(epoch from i.lease_until)::float8 as lease_until_s, i.lease_until < now() as expired,
    -- When one of its processes crashes, the server restarts all the others but goes on itself.
    coalesce(i.backend_started <= greatest(
      -- guard: half-a-restart-unseen = pg_postmaster_start_time(), null
      pg_postmaster_start_time(), (select max(backend_start) from sessions where backend_type = 'checkpointer')
    ), false) as restarted
  from outlast.instances i
    -- A role that may not see when a session began can only compare its process number.
  left join sessions s on s.pid = i.backend_pid and coalesce(s.backend_start = i.backend_started, true)
  -- guard: lost-to-itself
  where i.instance_id <> %(instance)s
    -- guard: lease-never-ends = and (i.backend_pid is not null and s.pid is null)
    and (i.lease_until < now() or (i.backend_pid is not null and s.pid is null))
    and exists (select from outlast.workflow_status w where w.owner = i.instance_id)
), due as (
    -- Not FOR UPDATE: a transaction that sends a message holds the row FOR KEY SHARE until it ends. Workflows that were lost
    -- often are claimed one by one, below. Rows of older versions have no `load_bytes`.
  select
    w.workflow_id, w.claimable_at, w.parent, w.load_bytes,
    case when w.load_bytes is null then concat(w.input, w.request) end as document
  from outlast.workflow_status w
    -- Workflows in queues begin as their queue decides: see claim_queued.
  where w.owner is null and w.queue is null
    -- guard: held-rows-claimed
    and w.held is null
    -- guard: claimed-by-what-does-not-fit
    and (w.misfits is null or outlast.fits(w.function, w.misfits, %(instance)s))
    -- guard: refused-ones-use-up-the-room
    and w.workflow_id <> all(%(refused)s::text[])
    -- guard: claim-what-is-not-due = and w.claimable_at is not null
    and w.claimable_at <= now()
    and w.function = any(%(functions)s::text[])
    -- guard: suspects-among-all
    and w.recovery_attempts < %(suspect_after)s
        -- Workflows that don't fit into memory must not use up the limit: there may be many, with others behind them.
    and (%(strict)s or case when w.parent is null and w.load_bytes > %(small)s
      then %(large_alone)s or w.load_bytes <= %(large_bytes)s
      else %(alone)s or coalesce(w.load_bytes, 0) <= greatest(%(bytes)s, %(small)s) end)
  order by w.claimable_at
  limit %(room)s
  -- guard: claim-without-lock
  -- guard: open-sender-keeps-from-claiming = for update skip locked
  for no key update skip locked
), suspect as (
  select
    w.workflow_id, w.claimable_at, w.parent, w.load_bytes,
    case when w.load_bytes is null then concat(w.input, w.request) end as document
  from outlast.workflow_status w
  where w.owner is null and w.queue is null and w.claimable_at <= now()
    -- guard: held-suspects-claimed
    and w.held is null
    and (w.misfits is null or outlast.fits(w.function, w.misfits, %(instance)s))
    -- guard: refused-suspects-use-up-the-room
    and w.workflow_id <> all(%(refused)s::text[])
    and w.function = any(%(functions)s::text[])
    and w.recovery_attempts >= %(suspect_after)s
    and w.recovery_attempts > 0  -- redundant, but selects the index
  order by w.claimable_at
  limit %(suspects)s
  for no key update skip locked
), weighed as (
  select
    workflow_id, claimable_at, parent, coalesce(
      load_bytes,
      -- include: start.sql load_bytes
    ) as load_bytes
  from (select * from due union all select * from suspect) as f
), found as (
  select
    w.*,
    case when w.parent is null and w.load_bytes > %(small)s then %(large_bytes)s else %(bytes)s end as bytes_left,
    case when w.parent is null and w.load_bytes > %(small)s then %(large_alone)s else %(alone)s end as alone
  from weighed w
), fitting as (
    -- A workflow that is larger than the free memory is skipped. If it has waited long, the others sometimes wait for it.
  select
    f.*,
    sum(f.load_bytes) over (order by f.claimable_at, f.workflow_id) as in_all,
    row_number() over (order by f.claimable_at, f.workflow_id) as place
  from found f
  where f.load_bytes <= f.bytes_left or f.alone
    -- guard: small-pass-for-ever
    or (%(strict)s and (select min(claimable_at) from found where load_bytes > %(bytes)s) < now() - interval '10 s')
), chosen as (
  select
    array_agg(f.workflow_id order by f.place) as ids,
    jsonb_object_agg(f.workflow_id, jsonb_build_object(
      'load_bytes', f.load_bytes, 'due_s', extract(epoch from f.claimable_at)::float8)) as found
  from fitting f
  -- guard: claims-without-budget
  -- guard: large-never-alone = where f.in_all <= f.bytes_left
  where f.in_all <= f.bytes_left or (f.place = 1 and f.alone)
), claimed as materialized (
  select r.* from chosen c
  cross join lateral outlast.one_by_one(
    'claim_rows', c.ids, jsonb_build_object('owner', %(instance)s::text, 'found', c.found)) as r
)
select
  c.done as claimed,
  c.refused,
  (select coalesce(json_agg(l), '[]') from lost l) as lost,
  -- Whether there are messages to deliver.
  exists (select from outlast.messages m where m.number is null) as undelivered,
    -- Whether an end has still to wake waiting workflows, or to cancel children.
  outlast.ends_untold() as untold,
  -- Whether queues have something to decide.
  -- guard: stopped-maps-keep-their-queues = outlast.queues_busy() or outlast.ended_batches() is not null as queued,
  outlast.queues_busy() or outlast.ended_batches() is not null or outlast.maps_stopped() as queued,
  outlast.full_queues() as full_queues,
    -- Workflows that run here and were cancelled: they undo first.
  outlast.stops_of(%(instance)s) as stops
from claimed c

-- name: claim_queued
-- Queues decide in the database: see outlast.claim_queue.
-- This may have ended members of batches, workflows that could not begin in time, and items of stopped maps.
select c.claimed, c.more or s.more as more, c.again_s, c.faults, c.refused, (outlast.tell_untold()).woken
from (select outlast.stop_maps() as more offset 0) as s
cross join lateral outlast.claim_queued(
  %(instance)s, %(functions)s::text[], %(room)s::integer, %(suspects)s::integer, %(suspect_after)s::integer,
  %(bytes)s::bigint, %(alone)s, %(small)s::bigint, %(large_bytes)s::bigint, %(large_alone)s,
  %(apart)s, %(refused)s::text[]) as c

-- name: recover
-- Recovery only makes rows claimable. After progress since the last claim the count starts again.
with orphaned as (
  select w.workflow_id,
    case
      when exists (
        select from outlast.operation_outputs o
        where o.workflow_id = w.workflow_id and o.completed_at > w.updated_at
      ) then 1
      -- guard: losses-not-counted = else w.recovery_attempts
      else w.recovery_attempts + 1
    end as attempts
  from outlast.workflow_status w
  join outlast.instances i on i.instance_id = w.owner
  where w.owner = any(%(lost)s::text[])
    -- guard: refused-ones-fill-recoveries
    and w.workflow_id <> all(%(refused)s::text[])
    and (
      -- guard: recovery-of-the-living = true
      i.lease_until < now()
      -- An instance that has renewed its lease meanwhile is back.
      or exists (
        select from unnest(%(gone)s::text[], %(gone_leases)s::float8[]) as g (instance_id, lease_until_s)
        where g.instance_id = i.instance_id and g.lease_until_s = extract(epoch from i.lease_until)::float8
      )
    )
  order by w.created_at
  limit %(limit)s
  for no key update of w skip locked
    -- The lock makes a concurrent beat wait, or shows one that came first: an instance must never be told that it owns its
    -- workflows, and lose them.
  -- guard: robbed-though-alive
  for share of i skip locked
)
select r.done, r.refused, case when r.done @> '[{"status": "EXHAUSTED"}]' then (outlast.tell_untold()).woken end
from (select array_agg(workflow_id) as ids, jsonb_object_agg(workflow_id, attempts) as attempts from orphaned) as o
cross join lateral outlast.one_by_one('recover_rows', o.ids, jsonb_build_object(
  'attempts', o.attempts, 'attempts_max', %(attempts_max)s::integer, 'backoff', %(backoff)s::float8,
  'backoff_max', %(backoff_max)s::float8)) as r
