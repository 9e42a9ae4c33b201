-- Schedules: what is due, and what instances have decided about it.

-- name: due
-- Schedules for which something must be done, and in how many seconds the next one is due. It takes no lock: a decision is
-- carried out only if the row is still the same (outlast.tick_schedules).
with ready as (
  select s.*
  from outlast.schedules s
  where s.paused_at is null and s.orphaned_at is null and s.ended_at is null and s.fault is null
    and s.name <> all(%(passed)s::text[])
    and (s.next_at <= clock_timestamp() or s.next_at is null and s.waiting_at is null
      or s.waiting_at is not null and not exists (
        select from outlast.workflow_status w
        where w.tick is not null and w.tick ->> 'schedule' = s.name and w.completed_at is null))
  order by s.next_at nulls first
  limit %(limit)s
)
select
  (select coalesce(json_agg(json_build_object(
    'name', r.name, 'revision', r.revision, 'cron', r.cron, 'tz', r.tz, 'every_s', r.every_s, 'at', r.at,
    'catchup', r.catchup, 'overlap', r.overlap, 'until', r.until, 'times', r.times, 'jitter_s', r.jitter_s,
    'pause_after', r.pause_after, 'nominal_at', r.nominal_at, 'now', clock_timestamp(), 'since', r.since,
    'ticked', r.ticked)), '[]') from ready r)::text as schedules,
  (select coalesce(json_agg(json_build_object(
    'name', b.name, 'revision', b.revision, 'cron', b.cron, 'tz', b.tz, 'every_s', b.every_s, 'at', b.at,
    'after', b.backfill_after, 'until', b.backfill_until)), '[]')
    from outlast.schedules b where b.backfill_until is not null)::text as backfills,
    -- A waiting tick is checked each second: the end of the workflow before it sends no news.
  (select least(
      extract(epoch from min(s.next_at) filter (where s.next_at > clock_timestamp()) - clock_timestamp()),
      case when bool_or(s.waiting_at is not null) then 1 end)::float8
    from outlast.schedules s
    where s.paused_at is null and s.orphaned_at is null and s.ended_at is null and s.fault is null) as next_s

-- name: tick
-- A tick may cancel the workflow of the tick before, whose row may be locked. All others wait for this, so it soon gives up.
with limited as materialized (
  select set_config('lock_timeout', '100ms', true) as lock_timeout
)
select t.schedule, t.outcome, t.workflow_id
from limited l
cross join lateral outlast.tick_schedules(case when l.lock_timeout is not null then %(orders)s::jsonb end) as t

-- name: unusable
-- A schedule whose expression no instance can read. The row says so, and it starts nothing until it is changed.
update outlast.schedules
set fault = %(fault)s, revision = revision + 1, backfill_after = null, backfill_until = null
where name = %(name)s and revision = %(revision)s
returning name

-- name: backfill
-- The door of the queue may be locked.
with limited as materialized (
  select set_config('lock_timeout', '100ms', true) as lock_timeout
)
select outlast.backfill_ticks(
  case when l.lock_timeout is not null then %(name)s end, %(revision)s::bigint, %(times)s::timestamptz[],
  %(next_after)s::timestamptz) as started
from limited l

-- name: newest
select outlast.newest_edition(%(instance)s, %(edition)s) as newest

-- name: declare
select name, change from outlast.declare_schedules(%(edition)s, %(declared)s::jsonb, %(broken)s::text[])
