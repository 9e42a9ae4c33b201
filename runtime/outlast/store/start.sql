-- How every workflow begins: from HTTP, Python, SQL and Supabase Queues. Except for batches: see outlast.begin_batch.

-- name: insert
-- Inserts the rows of `new`, which the surrounding statement provides. A row without an id is left out. A workflow
-- with an `owner` begins as claimed, one without waits to be claimed. `outlast.enqueue` has the same text: a test
-- compares them.
insert into outlast.workflow_status as w (
  workflow_id, function, input, request, idempotency_key, fingerprint, subject, claims, queue, queue_key, priority,
  attributes, version, parent, deadline, load_bytes, nonce, tick, timeout_s, owner, epoch, status, claimable_at, rank,
  started_at, created_at, updated_at
)
select
  n.workflow_id, n.function, n.input::json, n.request::json, n.idempotency_key, n.fingerprint, n.subject,
  n.claims::json, n.queue, n.queue_key, n.priority, n.attributes::json, n.version, n.parent, n.deadline,
  n.load_bytes, n.nonce, n.tick::json, n.timeout_s, n.owner,
  case when n.owner is null then 0 else 1 end,
  case when n.owner is null then 'ENQUEUED' else 'PENDING' end,
  case when n.owner is null then n.at + make_interval(secs => n.delay) end,
    -- The clock's time keeps the order of rows in one commit. A row with a delay becomes ready later.
  case when n.owner is null and n.queue is not null and n.delay = 0 then
    clock_timestamp() - make_interval(secs => n.priority) end,
  case when n.owner is not null then n.at end,
  n.at, n.at
from new n
where n.workflow_id is not null
-- guard: start-conflict-overwrites = on conflict (workflow_id) do update set nonce = excluded.nonce
on conflict (workflow_id) do nothing

-- name: rows
-- Rows as arrays. The surrounding statement adds the owner as one more column.
select
  unnest(%(start_ids)s::text[]) as workflow_id,
  unnest(%(start_functions)s::text[]) as function,
  unnest(%(start_inputs)s::text[]) as input,
  unnest(%(start_requests)s::text[]) as request,
  unnest(%(start_keys)s::text[]) as idempotency_key,
  unnest(%(start_fingerprints)s::text[]) as fingerprint,
  unnest(%(start_subjects)s::text[]) as subject,
  unnest(%(start_claims)s::text[]) as claims,
  unnest(%(start_versions)s::text[]) as version,
  unnest(%(start_parents)s::text[]) as parent,
  to_timestamp(unnest(%(start_deadlines)s::float8[])) as deadline,
  unnest(%(start_load_bytes)s::bigint[]) as load_bytes,
  unnest(%(start_attributes)s::text[]) as attributes,
  unnest(%(start_queues)s::text[]) as queue,
  unnest(%(start_queue_keys)s::text[]) as queue_key,
  unnest(%(start_priorities)s::int[]) as priority,
  unnest(%(start_delays)s::float8[]) as delay,
  unnest(%(start_ticks)s::text[]) as tick,
  unnest(%(start_timeouts)s::float8[]) as timeout_s,
  %(nonce)s::bigint as nonce,
  now() as at

-- name: parents
-- The live parents of rows in `given`. The lock makes a cancel wait, or shows one that came first: a cancel also ends the
-- children that it finds, and no child may be added after it.
select p.workflow_id
from (select distinct parent from given where parent is not null) as g
join outlast.workflow_status p on p.workflow_id = g.parent
-- guard: children-of-the-cancelled
where p.status in ('ENQUEUED', 'PENDING')
-- guard: children-beside-a-cancel
for share of p

-- name: with_parents
select g.* from given g
where g.parent is null or g.parent in (select workflow_id from parents)

-- name: load_bytes
-- The same as outlast.load_bytes_of(document), for roles that may not call that function.
case when octet_length(document) = char_length(document) then 1 else 4 end * char_length(document)::bigint
  + 25 * (char_length(document) - char_length(translate(document, '[{,:', '')))::bigint
