-- The parts of the journal's writes: which workflows this instance still owns, and their records.

-- name: held
-- FOR SHARE: an unlocked check would let a frozen instance commit after a takeover.
select w.workflow_id
from (
  select
    unnest(%(held_ids)s::text[]) as id,
    unnest(%(held_epochs)s::bigint[]) as epoch
) as h
join outlast.workflow_status w on w.workflow_id = h.id
-- guard: record-without-epoch
where w.epoch = h.epoch
  -- guard: record-without-owner
  and (w.owner = %(instance)s) is true
-- guard: record-without-lock
for share of w

-- name: recorded
insert into outlast.operation_outputs as o (
  workflow_id, step_id, name, output, error, attempts, completion_order, kind, at, arguments, nonce,
  started_at, completed_at, called_after, instance
)
select
  r.id, r.step_id, r.name, r.output::json, r.error::json, r.attempts, r.place,
  r.kind, to_timestamp(r.at / 1e6), r.args,
  %(nonce)s, now() - r.began * interval '1 us', now() - r.ended * interval '1 us', r.called,
  %(instance)s
from (
  select
    unnest(%(step_workflows)s::text[]) as id,
    unnest(%(step_ids)s::text[]) as step_id,
    unnest(%(step_names)s::text[]) as name,
    unnest(%(step_outputs)s::text[]) as output,
    unnest(%(step_errors)s::text[]) as error,
    unnest(%(step_attempts)s::int[]) as attempts,
    unnest(%(step_orders)s::int[]) as place,
    unnest(%(step_kinds)s::text[]) as kind,
        -- In microseconds, the next two as ages: the texts of integers are made in a fifth of the time.
    unnest(%(step_times)s::float8[]) as at,
    unnest(%(step_arguments)s::bigint[]) as args,
    unnest(%(step_begins)s::float8[]) as began,
    unnest(%(step_ends)s::float8[]) as ended,
    unnest(%(step_calls)s::int[]) as called
) as r
-- `is true` keeps this a hashed lookup: as a join it would be a nested loop over two long lists.
-- guard: record-without-fence = where r.id is not null
where (r.id in (select workflow_id from fenced)) is true
-- Only the record of a wait changes, when the wait ends: a receive then gets its message.
on conflict (workflow_id, step_id) do update
  set completion_order = excluded.completion_order, error = excluded.error, completed_at = excluded.completed_at,
      at = excluded.at, kind = excluded.kind, nonce = excluded.nonce, instance = excluded.instance,
      output = case when excluded.kind in ('receive', 'wait_any', 'event') then excluded.output else o.output end
  -- guard: record-overwrites
  where o.completion_order is null
    -- guard: sleep-ended-by-another
    and o.name = excluded.name
returning o.workflow_id
