-- What there is beside workflows: a query for each resource of its name, as core/resources.py declares it.

-- name: queues
-- Counts stop at a thousand, and read only indexes.
select
  q.name, q.functions, q.base::text, q.override::text, outlast.queue_options(q.base, q.override)::text as limits,
  q.override_by, q.override_at, q.override_why, q.paused_at, q.paused_by, q.paused_why, k.paused_keys, c.*
from outlast.queues q
cross join lateral (
  select coalesce(json_agg(json_build_object(
    'key', p.key, 'paused_at', p.paused_at, 'paused_by', p.paused_by, 'paused_why', p.paused_why)), '[]')::text as paused_keys
  from (
    select k.key, k.paused_at, k.paused_by, k.paused_why from outlast.queue_keys k
    where k.queue = q.name and k.paused_at is not null
    order by k.key limit 100
  ) as p
) as k
cross join lateral (
  select
    case when q.name like 'step:%%'
      then (select count(*) from (
        select from outlast.limit_uses u where u.name = substr(q.name, 6) and outlast.holds_limit(u) limit 1000
      ) as s)
      else (select count(*) from (
        select from outlast.workflow_status w where w.queue = q.name and w.owner is not null limit 1000
      ) as s) end as running,
    (select count(*) from (
      select from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at <= now() limit 1000
    ) as s) as ready,
    (select count(*) from (
      select from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at is not null limit 1000
    ) as s) as waiting,
    (select w.claimable_at from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at <= now()
      order by w.claimable_at limit 1) as ready_since
) as c
where (%(name)s::text is null or q.name = %(name)s)
  and (%(paused)s::boolean is null or %(paused)s = (q.paused_at is not null))
  and (%(after_name)s::text is null or q.name > %(after_name)s)
order by q.name
limit %(limit)s
