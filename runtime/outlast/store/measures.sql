-- name: measures
-- The data for a scrape, as one row of JSON. Each part reads an index, and counts only up to a limit. The `order by` keeps
-- the plan to that index (decision 0321). The queues of maps have ids as names: they are counted as one.
with queues as (
  select
    case when (
      select m.map is not null from outlast.workflow_status m where m.workflow_id = q.name
    ) then 'map' else q.name end as name,
    c.*
  from (select name from outlast.queues where name not like 'step:%%' order by name limit 500) q
  cross join lateral (
    select count(*) as depth, extract(epoch from now() - min(r.claimable_at))::float8 as oldest_s
    from (
      select w.claimable_at from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at <= now() and w.held is null
      order by w.claimable_at limit 10000
    ) as r
  ) as c
), opened as (
  select function, 'running' as state from (
    select function from outlast.workflow_status where owner is not null order by owner limit 20000) as r
  union all
  select function, 'due' from (
    select function from outlast.workflow_status
    where owner is null and claimable_at <= now() and queue is null and held is null
    order by claimable_at limit 20000) as d
  union all
  select function, 'waiting' from (
    select function from outlast.workflow_status
    where owner is null and claimable_at > now() and queue is null and held is null
    order by claimable_at limit 20000) as s
  union all
  select function, case when started_at is null then 'enqueued' else 'waiting' end from (
    select function, started_at from outlast.workflow_status
    where owner is null and claimable_at is not null and queue is not null
    order by queue limit 20000) as e
  union all
    -- Members of a batch that has begun wait for it.
  select function, 'waiting' from outlast.open_members(20000) as m (function)
)
select
  (select coalesce(json_agg(json_build_array(name, depth, oldest_s)), '[]') from (
    select name, sum(depth) as depth, coalesce(max(oldest_s), 0) as oldest_s from queues group by name) as q) as queues,
  (select coalesce(json_agg(json_build_array(function, state, n)), '[]') from (
    select function, state, count(*) as n from opened group by function, state
    order by n desc limit 1000) as o) as open,
  (select coalesce(json_agg(json_build_array(function, reason, n)), '[]') from (
    select function, coalesce(held ->> 'reason', 'unknown') as reason, count(*) as n from (
      select function, held from outlast.workflow_status where held is not null order by function limit 20000) as h
    group by 1, 2 order by n desc limit 1000) as x) as held,
  (select coalesce(json_agg(json_build_array(state, n)), '[]') from (
    select coalesce(state, 'unknown') as state, count(*) as n from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' group by 1) as a) as connections
