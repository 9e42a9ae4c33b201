-- Workflows as callers and operators see them.

-- name: standing
select
  workflow_id, function, status, fingerprint, subject, output::text, error::text, response::text
from outlast.workflow_status
where workflow_id = any(%(ids)s::text[])

-- name: ended
-- Of the workflows that callers wait for, those that ended.
select
  workflow_id, function, status, fingerprint, subject, output::text, error::text, response::text
from outlast.workflow_status
where workflow_id = any(%(ids)s::text[]) and status not in ('ENQUEUED', 'PENDING')

-- name: show
select
  workflow_id, function, status, input, output, error, response, idempotency_key, subject, queue, priority,
  version, parent, attributes, owner, epoch, recovery_attempts, claimable_at, deadline, created_at, started_at,
  updated_at, completed_at
from outlast.workflow_status
where workflow_id = %(workflow_id)s

-- name: list
select
  workflow_id, function, status, queue, parent, attributes, recovery_attempts, claimable_at, created_at,
  started_at, updated_at, completed_at
from outlast.workflow_status
where (%(function)s::text is null or function = %(function)s)
  and (%(status)s::text[] is null or status = any(%(status)s::text[]))
  and (%(queue)s::text is null or queue = %(queue)s)
  and (%(parent)s::text is null or parent = %(parent)s)
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(until)s::timestamptz is null or created_at < %(until)s)
  and (%(attribute)s::text is null or attributes ->> %(attribute)s = %(attribute_value)s)
  and (%(after_created)s::timestamptz is null or (created_at, workflow_id) < (%(after_created)s, %(after_id)s))
order by created_at desc, workflow_id desc
limit %(limit)s

-- name: steps
select
  step_id, name, output, error, attempts, completion_order, started_at, completed_at
from outlast.operation_outputs
where workflow_id = %(workflow_id)s
order by completion_order nulls last, completed_at, step_id

-- name: steps_after
-- For streams: completions later than one that was seen.
select
  step_id, name, error is null as succeeded, completion_order, completed_at
from outlast.operation_outputs
where workflow_id = %(workflow_id)s and completion_order > %(after)s
order by completion_order

-- name: cancel
-- Raising the epoch refuses every later write of whoever runs it.
update outlast.workflow_status
set status = 'CANCELLED', owner = null, epoch = epoch + 1, claimable_at = null,
    error = json_build_object('code', 'workflow_cancelled', 'message', 'the workflow was cancelled'),
    completed_at = now(), updated_at = now()
where workflow_id = %(workflow_id)s and status in ('ENQUEUED', 'PENDING')
returning workflow_id
