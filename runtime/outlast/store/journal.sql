-- What the journal writes: starts, steps and ends of many workflows in one round trip, one commit.

-- name: start_batch
-- Starts: with an owner they begin here, without one they wait to be claimed. Returns a row for each that was inserted, with
-- `created_at`, which is now(). All `unnest` of one select list advance together (Postgres manual, "SQL Functions
-- Returning Sets"). In a FROM each would fill a tuple store, which is most of the cost of a small batch. For one row
-- queries.py makes the same statement without `unnest`.
with given as (
  -- include: start.sql rows
  , unnest(%(start_owners)s::text[]) as owner
), parents as materialized (
  -- include: start.sql parents
), new as (
  -- include: start.sql with_parents
)
-- include: start.sql insert
returning w.workflow_id, extract(epoch from w.created_at)::float8

-- name: write_batch
-- Ends, suspensions and records of workflows that this instance owns. Returns a row for each fence that held and each step
-- that was recorded. The last row, without an id, has how many workflows were woken. For at most one row of each kind see
-- above: then a null id means no row.
with ended as (
    -- The update is itself the fence: it locks the row and checks owner and epoch. `is true` prevents a plan by the index of
    -- owners: made while the table was empty, it would read all rows of this instance for each row.
  update outlast.workflow_status w
  set status = e.status,
      output = e.output::json,
      error = e.error::json,
      response = e.response::json,
      -- guard: end-keeps-owner
      owner = null,
      nonce = %(nonce)s,
      claimable_at = case when e.status = 'PENDING' then
                -- A message that arrived since the workflow last looked wakes it at once: its delivery did not see it wait.
        case when w.mail > (e.awaits::json ->> 'mail')::bigint then now()
                    -- It was cancelled while it left the memory.
          -- guard: stops-sleep
          when w.saga = 'stopping' then now()
          else coalesce(to_timestamp(e.claimable), now()) end end,
      awaits = e.awaits::json,
            -- Waiters for the end are woken below. Children that a cancelled workflow started while it undid are cancelled by a claim.
      -- guard: children-of-the-undone-go-on = untold = e.status = 'PENDING',
      untold = e.status = 'PENDING' or w.saga is not null,
      -- A suspension is progress; a hand-over keeps the count.
      recovery_attempts = case when e.claimable is null then w.recovery_attempts else 0 end,
      completed_at = case when e.status <> 'PENDING' then now() end,
      updated_at = now()
  from (
    select
      unnest(%(end_ids)s::text[]) as workflow_id,
      unnest(%(end_epochs)s::bigint[]) as epoch,
      unnest(%(end_statuses)s::text[]) as status,
      unnest(%(end_outputs)s::text[]) as output,
      unnest(%(end_errors)s::text[]) as error,
      unnest(%(end_responses)s::text[]) as response,
      unnest(%(end_claimables)s::float8[]) as claimable,
      unnest(%(end_awaits)s::text[]) as awaits
  ) as e
  where w.workflow_id = e.workflow_id
    -- guard: end-without-epoch
    and w.epoch = e.epoch
    -- guard: end-without-owner
    and (w.owner = %(instance)s) is true
  returning w.workflow_id, w.status <> 'PENDING' and (w.parent is not null or w.awaited) as told
), held as (
  -- include: records.sql held
), fenced as (
  select workflow_id from ended union all select workflow_id from held
), recorded as (
  -- include: records.sql recorded
)
select workflow_id, null::bigint from fenced
union all select workflow_id, null from recorded
-- Last: by now all rows are locked that this statement may have to wait for.
-- guard: ends-told-to-nobody = union all select null, null where false
union all select null, outlast.tell_ended(t.ids) from (select array_agg(workflow_id) as ids from ended where told) as t where t.ids is not null

-- name: record_batch
-- The same without ends.
with fenced as (
  -- include: records.sql held
), recorded as (
  -- include: records.sql recorded
)
select workflow_id from fenced
union all select workflow_id from recorded

-- name: refuse_members
-- Members whose inputs weren't valid for the function, in a batch that has succeeded without them.
update outlast.workflow_status m
set status = 'ERROR', error = r.error::json, epoch = m.epoch + 1, completed_at = now(), updated_at = now()
from unnest(%(batches)s::text[], %(places)s::integer[], %(errors)s::text[]) as r (batch, place, error)
join outlast.workflow_status b on b.workflow_id = r.batch and b.status = 'SUCCESS'
where m.batch = r.batch and m.batch_place = r.place and m.status = 'PENDING'

-- name: end_members
-- In the commit of their batch's end, and after it: it reads the batch's outcome.
select (outlast.tell_untold()).woken from outlast.end_members(%(batches)s::text[])

-- name: begin_waits
-- In the commit of suspensions, and after them.
select outlast.begin_waits(%(waiters)s::text[], %(targets)s::text[], %(events)s::text[], %(nonce)s::bigint)

-- name: begin_event_waits
-- The same for waits for events.
select outlast.begin_event_waits(
  %(waiters)s::text[], %(targets)s::text[], %(events)s::text[], %(afters)s::integer[], %(nonce)s)

-- name: tell_events
-- In the commit that records these events, and after it. If nobody waits, it only reads an index once.
select case when exists (
  select from outlast.waits w where w.target = any(%(workflows)s::text[]) and w.event = any(%(events)s::text[])
) then outlast.tell_events(%(workflows)s::text[], %(events)s::text[]) else 0 end

-- name: detach
-- In the commit of their starts, and after them.
update outlast.workflow_status set detached = true
where workflow_id = any(%(ids)s::text[]) and nonce = %(nonce)s

-- name: mark_sagas
-- In the commit of the saga's note, before the step begins that it would undo: from then on a cancel lets the saga undo it.
update outlast.workflow_status w
set saga = m.saga
from unnest(%(ids)s::text[], %(epochs)s::bigint[], %(sagas)s::text[]) as m (workflow_id, epoch, saga)
where w.workflow_id = m.workflow_id and w.epoch = m.epoch and w.owner = %(instance)s
  and (w.saga is null or m.saga = 'undoing')

-- name: set_attributes
-- In the commit of these records, before a write that may clear the row's owner. A commit may arrive a second time, long after
-- it was sent again: then the record exists already, and other attributes may have been set since.
update outlast.workflow_status w
set attributes = outlast.merged_attributes('set_attributes', w.attributes, c.changes::json)
from unnest(%(ids)s::text[], %(epochs)s::bigint[], %(steps)s::text[], %(changes)s::text[])
  as c (workflow_id, epoch, step_id, changes)
where w.workflow_id = c.workflow_id
  -- guard: attributes-without-fence
  and w.epoch = c.epoch and w.owner = %(instance)s
  -- guard: attributes-set-again
  and not exists (select from outlast.operation_outputs o where o.workflow_id = c.workflow_id and o.step_id = c.step_id)

-- name: limit_locks
-- For the current transaction, if session settings don't last.
select set_config('lock_timeout', '500ms', true)

-- name: tables_held
select exists (
  select from pg_locks l
  where l.locktype = 'relation' and l.granted and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and l.relation in ('outlast.workflow_status'::regclass, 'outlast.operation_outputs'::regclass)
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))

-- name: rows_held
-- The workflows of a batch whose rows another transaction holds.
with free as (
  select w.workflow_id from outlast.workflow_status w
  where w.workflow_id = any(%(ids)s::text[])
  for no key update skip locked
)
select w.workflow_id from outlast.workflow_status w
where w.workflow_id = any(%(ids)s::text[]) and w.workflow_id not in (select workflow_id from free)

-- name: replan
discard plans

-- name: confirm_batch
-- After a commit whose answer was lost: a row for each start, end and step that has the batch's nonce.
select w.workflow_id, extract(epoch from w.created_at)::float8 as created_s
from outlast.workflow_status w
where w.workflow_id = any(%(ids)s::text[])
  -- guard: strangers-start-confirmed
  and w.nonce = %(nonce)s
union all
select o.workflow_id, null
from outlast.operation_outputs o
where o.workflow_id = any(%(ids)s::text[])
  -- guard: strangers-record-confirmed
  and o.nonce = %(nonce)s

-- name: record_transaction
-- If the workflow's row is locked, the transaction runs again: waiting would occupy a connection of the pool.
with limited as materialized (
  -- guard: records-wait-for-rows = select ''
  select set_config('lock_timeout', '1s', true)
  as lock_timeout
), fenced as (
  select w.workflow_id
  from limited l
  join outlast.workflow_status w on l.lock_timeout is not null
  where w.workflow_id = %(workflow_id)s
    -- guard: transaction-without-epoch
    and w.epoch = %(epoch)s
    -- guard: transaction-without-owner
    and w.owner = %(instance)s
  -- guard: transaction-without-lock
  for share of w
)
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, error, attempts, completion_order, kind, at, arguments, nonce,
  started_at, completed_at, called_after, instance
)
select
  f.workflow_id, %(step_id)s, %(name)s, %(output)s::json, %(error)s::json, %(attempts)s, %(completion_order)s,
  %(kind)s, to_timestamp(%(at_s)s), %(arguments)s,
  %(nonce)s, clock_timestamp() - make_interval(secs => %(began)s),
  clock_timestamp() - make_interval(secs => %(ended)s), %(called_after)s, %(instance)s
from fenced f
-- guard: transaction-unmarked
where current_setting('outlast.transaction', true) = %(mark)s
-- guard: transaction-record-overwrites = on conflict (workflow_id, step_id) do update set output = excluded.output
on conflict (workflow_id, step_id) do nothing
returning step_id

-- name: transaction_mark
select current_setting('outlast.transaction', true) = %(mark)s

-- name: recorded_step
select step_id, name, output::text, error::text, attempts, completion_order, coalesce(kind, ''),
  extract(epoch from at)::float8, arguments
from outlast.operation_outputs
where workflow_id = %(workflow_id)s and step_id = %(step_id)s
