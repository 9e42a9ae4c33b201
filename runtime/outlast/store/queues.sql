-- Queues: how calls enter them, and how code declares them. outlast.claim_queue decides which workflows begin.

-- name: enqueue
-- One after the other. No row for a workflow whose parent has ended: see start.sql.
with given as materialized (
  -- include: start.sql rows
),
parents as materialized (
  -- include: start.sql parents
), new as (
  -- include: start.sql with_parents
)
select
  n.workflow_id,
  case when e.outcome = 'exists' and exists (
    select from outlast.workflow_status w
    -- guard: strangers-entry-taken
    where w.workflow_id = n.workflow_id and w.nonce = n.nonce
  ) then 'started' else e.outcome end as outcome, e.target, e.retry_s,
  case when n.workflow_id = any(%(detached)s) and e.outcome = 'started' then outlast.detach(n.workflow_id) end as detached
from new n
cross join lateral outlast.enqueue(
  n.workflow_id, n.function, n.input, n.request, n.idempotency_key, n.fingerprint, n.subject, n.claims, n.queue, n.queue_key,
  n.priority, n.delay, n.version, n.parent, extract(epoch from n.deadline)::float8, n.nonce, n.tick, n.attributes,
  n.timeout_s) as e

-- name: declare
select outlast.declare_queues(
  %(me)s, %(names)s::text[], %(options)s::text[], %(functions)s::json, %(served)s::text[]) as changed

-- name: take_limit
select outlast.take_limit(
  %(name)s, %(options)s::json, %(workflow_id)s, %(epoch)s::bigint, %(step_id)s) as wait_s

-- name: free_limits
select here, due from outlast.free_limits(%(me)s, %(given_up)s::json, %(names)s::text[])
