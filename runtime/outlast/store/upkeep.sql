-- Sizes and ages, without reading whole tables.

-- name: tables
select c.relname as name, pg_total_relation_size(c.oid) as bytes, pg_indexes_size(c.oid) as index_bytes,
  s.n_live_tup as rows, s.n_dead_tup as dead,
  greatest(s.last_vacuum, s.last_autovacuum)::text as vacuumed_at
from pg_class c
join pg_stat_user_tables s on s.relid = c.oid
where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'r'
order by bytes desc, name

-- name: counts
with live as (
    -- Each part has an index, and an order that keeps the plan to it (decision 0321).
  (select w.status from outlast.workflow_status w where w.owner is not null order by w.owner limit %(most)s)
  union all
  (select w.status from outlast.workflow_status w
  where w.owner is null and w.claimable_at is not null and w.queue is null and w.held is null
  order by w.claimable_at limit %(most)s)
  union all
  (select w.status from outlast.workflow_status w
  where w.owner is null and w.claimable_at is not null and w.queue is not null
  order by w.queue limit %(most)s)
  union all
  (select w.status from outlast.workflow_status w
  where w.held is not null and w.owner is null and w.claimable_at is not null and w.queue is null
  order by w.function limit %(most)s)
), failed as (
  select w.status from outlast.workflow_status w
  where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')
  order by w.created_at limit %(most)s
)
select status, least(count(*), %(most)s) as count, count(*) >= %(most)s as more
from (select status from live union all select status from failed) as found
group by status order by status

-- name: oldest
select
  (select min(w.completed_at)::text from outlast.workflow_status w where w.completed_at is not null) as ended_at,
  least(
    (select min(w.claimable_at) from outlast.workflow_status w
    where w.owner is null and w.claimable_at is not null and w.queue is null and w.held is null),
    (select min(first.claimable_at)
    from outlast.queues q
    cross join lateral (
      select w.claimable_at from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at is not null and w.held is null
      order by w.claimable_at limit 1
    ) as first)
  )::text as due_at,
  (select min(m.created_at)::text from outlast.messages m where m.number is null) as undelivered_at,
    -- It is -1 until the table is analyzed.
  coalesce(
    (select c.reltuples from pg_class c where c.oid = 'outlast.workflow_status'::regclass and c.reltuples >= 0),
    pg_stat_get_live_tuples('outlast.workflow_status'::regclass)
  )::bigint as estimate

-- name: prunable
select p.function, p.workflows, p.oldest::text as oldest, p.newest::text as newest
from outlast.prunable(%(keep_s)s::float8) p

-- name: instances
-- The hosts that use the embedded server's database now.
select count(*) from pg_stat_activity
where datname = 'postgres' and application_name like 'outlast/%%' and application_name <> 'outlast/cli'

-- name: drop
-- Needs a connection to another database.
drop database postgres with (force)

-- name: create
create database postgres template template1
