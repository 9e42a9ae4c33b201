-- Queues: how calls enter them, and what code says of them. What begins is decided by outlast.claim_queue.

-- name: enqueue
-- No row where it has a parent that lives no more: see start.sql.
with parents as materialized (
  select p.workflow_id from outlast.workflow_status p
  where p.workflow_id = %(parent)s
    -- guard: queued-children-of-the-cancelled
    and p.status in ('ENQUEUED', 'PENDING')
  for share
), allowed as (
  select %(workflow_id)s::text as workflow_id where %(parent)s::text is null or exists (select from parents)
)
select
  case when e.outcome = 'exists' and exists (
    select from outlast.workflow_status w
    -- guard: strangers-entry-taken
    where w.workflow_id = %(workflow_id)s and w.nonce = %(nonce)s
  ) then 'started' else e.outcome end as outcome, e.target, e.retry_s,
  case when %(detached)s and e.outcome = 'started' then outlast.detach(a.workflow_id) end as detached
from allowed a
cross join lateral outlast.enqueue(
  a.workflow_id, %(function)s, %(input)s, %(request)s, %(idempotency_key)s, %(fingerprint)s, %(subject)s, %(claims)s,
  %(queue)s, %(queue_key)s, %(priority)s::integer, %(delay_s)s::float8, %(version)s, %(parent)s,
  %(deadline_s)s::float8, %(nonce)s::bigint, %(tick)s, %(attributes)s) as e

-- name: declare
-- Only what has changed is written, or waits for whoever holds its row. What operators have set stays.
insert into outlast.queues as q (name, base, functions, declared_at)
select d.name, d.options, d.functions, now()
from (
  select u.name, u.options::json as options,
    array(select json_array_elements_text((%(functions)s::json) -> (u.place - 1)::integer)) as functions
  from unnest(%(names)s::text[], %(options)s::text[]) with ordinality as u (name, options, place)
) as d
where not exists (
  select from outlast.queues x
  -- guard: unchanged-queues-waited-for = where false
  where x.name = d.name and x.base::jsonb = d.options::jsonb and x.functions = d.functions and x.declared_at is not null)
order by d.name  -- in the same order everywhere
on conflict (name) do update
  set base = excluded.base, functions = excluded.functions, declared_at = excluded.declared_at
  where q.base::jsonb <> excluded.base::jsonb or q.functions <> excluded.functions or q.declared_at is null
returning q.name

-- name: take_limit
select outlast.take_limit(
  %(name)s, %(options)s::json, %(workflow_id)s, %(epoch)s::bigint, %(step_id)s) as wait_s

-- name: free_limits
select here, due from outlast.free_limits(%(me)s, %(given_up)s::json, %(names)s::text[])
