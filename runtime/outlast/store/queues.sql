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
select outlast.declare_queues(
  %(me)s, %(names)s::text[], %(options)s::text[], %(functions)s::json) as changed

-- name: take_limit
select outlast.take_limit(
  %(name)s, %(options)s::json, %(workflow_id)s, %(epoch)s::bigint, %(step_id)s) as wait_s

-- name: free_limits
select here, due from outlast.free_limits(%(me)s, %(given_up)s::json, %(names)s::text[])
