-- Workflows as callers and operators see them.

-- name: states
-- With `ended` only those that have ended or are held.
select
  workflow_id, function, status, fingerprint, subject, output::text, error::text, response::text, generation,
  held::text, workflow_id as asked
from outlast.workflow_status
where workflow_id = any(%(ids)s::text[])
  and (not %(ended)s or status not in ('ENQUEUED', 'PENDING') or held is not null)
union all
-- A workflow that was attached to another one has its state.
select
  w.workflow_id, w.function, w.status, a.fingerprint, w.subject, w.output::text, w.error::text, w.response::text,
  w.generation, w.held::text, a.workflow_id
from outlast.attached a
join outlast.workflow_status w on w.workflow_id = a.target
where a.workflow_id = any(%(ids)s::text[])
  and (not %(ended)s or w.status not in ('ENQUEUED', 'PENDING') or w.held is not null)

-- name: same_payload
-- Payloads are compared as JSON: white space, the order of keys and the spelling of numbers don't matter. Two HTTP
-- calls must also agree in method, path and query. Starts by SQL or Python have none of these.
select coalesce(
  (select a.payload = md5((%(input)s::jsonb)::text) from outlast.attached a where a.workflow_id = %(workflow_id)s),
  exists (
  select
  from outlast.workflow_status w
  where w.workflow_id = %(workflow_id)s
    and w.input::jsonb = %(input)s::jsonb
    and (w.request is null or %(request)s::json is null
      or (w.request ->> 'method', w.request ->> 'path', w.request ->> 'query')
        = (%(request)s::json ->> 'method', %(request)s::json ->> 'path', %(request)s::json ->> 'query'))
)) as same

-- name: ownership
-- The owner of a workflow. Reads nothing large: the time must not show whether another user's workflow exists.
select workflow_id, function, status, subject, parent
from outlast.workflow_status
where workflow_id = any(%(ids)s::text[])

-- name: counts
-- Counts for one user. Counting stops at the limits, and reads only indexes.
select
  (select count(*) from (
    select from outlast.workflow_status
    where subject = %(subject)s and owner is null and claimable_at is not null
    limit %(sleeping_max)s
  ) s) as sleeping,
  (select count(*) from (
    select from outlast.workflow_status where subject = %(subject)s limit %(stored_max)s
  ) s) as stored

-- name: show
-- With `brief`, long values are left out, and `large` has how they begin.
select
  workflow_id, function, status,
  case when not %(brief)s or octet_length(input::text) <= 4096 then input::text end as input,
  case when not %(brief)s or octet_length(output::text) <= 4096 then output::text end as output,
  error::text,
  case when not %(brief)s or octet_length(response::text) <= 4096 then response::text end as response,
  case when %(whole)s and (not %(brief)s or octet_length(request::text) <= 4096) then request::text end as request,
  case when %(brief)s then (
    select json_object_agg(v.name, json_build_object('bytes', octet_length(v.value), 'begins', left(v.value, 4096)))::text
    from (values ('input', input::text), ('output', output::text), ('response', response::text),
      ('request', case when %(whole)s then request::text end)) as v (name, value)
    where octet_length(v.value) > 4096
  ) end as large,
  idempotency_key, subject,
  queue, priority, version, parent, forked_from, attributes::text, owner, epoch, generation, recovery_attempts, claimable_at, deadline,
  case when claimable_at is not null or saga is not null or (batch is not null and completed_at is null)
    then outlast.waiting_for(workflow_id, %(whole)s) end as waiting_on,
  created_at, started_at, updated_at, completed_at, held::text
from outlast.workflow_status
where workflow_id = %(workflow_id)s

-- name: workflows
-- `outlast.find_workflows` selects them. Errors are read only for the rows of the page.
select
  w.workflow_id, w.function, w.version, w.status, w.queue, w.priority, w.subject, w.parent, w.forked_from, w.attributes::text,
  w.generation, w.recovery_attempts, w.claimable_at, w.deadline,
  -- guard: others-named-in-lists = outlast.waiting_for(w.workflow_id, true) as waiting_on,
  case when w.claimable_at is not null or w.saga is not null or (w.batch is not null and w.completed_at is null) then outlast.waiting_for(w.workflow_id, %(subject)s::text is null) end as waiting_on,
  w.created_at, w.started_at, w.updated_at, w.completed_at, e.code as error_code,
  left(e.message, 300) as error_message
from outlast.find_workflows(
  %(function)s, %(prefix)s, %(version)s, %(status)s::text[], %(error)s, %(queue)s, %(parent)s, %(has_parent)s::boolean,
  %(since)s, %(until)s, %(completed_since)s, %(completed_until)s, %(attribute)s::text[], %(ascending)s::boolean, %(subject)s,
  %(after_created_at)s, %(after_workflow_id)s, %(limit)s::bigint, held => %(held)s, waiting_on => %(waiting_on)s,
  error_group => %(error_group)s
) f
join outlast.workflow_status w on w.workflow_id = f.workflow_id
left join lateral outlast.error_told(w.error, %(subject)s::text is null) e on w.error is not null
order by f.place

-- name: steps
-- Waits that have not ended have no completion_order: they come last. With `brief`, long outputs are left out: if they are
-- stored outside of the row (TOAST), only their size is read.
select
  o.step_id, o.name, o.kind, o.instance,
  case when b.whole then o.output::text end as output, case when not b.whole then b.bytes end as output_bytes,
  o.error::text, o.attempts, o.completion_order, o.started_at, o.completed_at, o.settled, o.place,
  (select w.completed_at from outlast.workflow_status w where w.workflow_id = %(workflow_id)s) as over_at
from (
  select *, coalesce(completion_order, 2147483647) as place
  from outlast.operation_outputs
  where workflow_id = %(workflow_id)s
    and (%(step_id)s::text is null or step_id = %(step_id)s)
    and (%(after_place)s::int is null or case when %(newest)s::boolean is true
      then (coalesce(completion_order, 2147483647), step_id) < (%(after_place)s, %(after_step_id)s)
      else (coalesce(completion_order, 2147483647), step_id) > (%(after_place)s, %(after_step_id)s) end)
  order by
    case when %(newest)s::boolean is true then coalesce(completion_order, 2147483647) end desc,
    case when %(newest)s::boolean is true then step_id end desc,
    coalesce(completion_order, 2147483647), step_id
  limit %(limit)s::bigint
) o
cross join lateral (
  select (%(brief)s::boolean is true and case when pg_column_size(o.output) > 4096 then true
    else octet_length(o.output::text) > 4096 end) is not true as whole, pg_column_size(o.output) as bytes
) as b
order by
  case when %(newest)s::boolean is true then o.place end desc, case when %(newest)s::boolean is true then o.step_id end desc,
  o.place, o.step_id

-- name: running
-- The steps that the owner runs, as of its last beat, without those that were recorded since.
select
  r.step_id, r.name, r.attempt, to_timestamp(r.began_s) as began_at, to_timestamp(r.retry_s) as retry_at,
  i.instance_id
from outlast.workflow_status w
join outlast.instances i on i.instance_id = w.owner
cross join lateral json_to_recordset(i.running)
  as r (workflow_id text, epoch bigint, step_id text, name text, attempt int, began_s float8, retry_s float8)
where w.workflow_id = %(workflow_id)s and r.workflow_id = w.workflow_id and r.epoch = w.epoch
  and not exists (
    select from outlast.operation_outputs o where o.workflow_id = w.workflow_id and o.step_id = r.step_id
  )
order by r.began_s, r.step_id

-- name: steps_after
-- For streams: the completions after a given one.
select
  step_id, name, kind, error is null as succeeded, completion_order, completed_at,
  case when kind = 'publish' then output::text end as value
from outlast.operation_outputs
where workflow_id = %(workflow_id)s and completion_order > %(after)s
order by completion_order
limit %(limit)s::bigint

-- name: events
select
  completion_order as number, substr(name, 9) as event, output::text as value, completed_at as published_at
from outlast.operation_outputs
where workflow_id = %(workflow_id)s and completion_order > coalesce(%(after_number)s, 0)
  and kind = 'publish'
  and (%(event)s::text is null or name = 'publish ' || %(event)s)
order by completion_order
limit %(limit)s::bigint

-- name: published
-- For each reader the state of the workflow, and its next events or the newest one. All from one snapshot: if the workflow
-- has ended in it, no event is missing.
select r.place, w.status not in ('ENQUEUED', 'PENDING') as ended, e.number, e.value
from unnest(%(workflows)s::text[], %(events)s::text[], %(afters)s::integer[], %(newests)s::boolean[])
  with ordinality as r (workflow_id, event, after, newest, place)
left join outlast.attached a on a.workflow_id = r.workflow_id
join outlast.workflow_status w on w.workflow_id = coalesce(a.target, r.workflow_id)
left join lateral (
  (
    select o.completion_order as number, o.output::text as value
    from outlast.operation_outputs o
    where o.workflow_id = w.workflow_id and o.kind = 'publish' and o.name = 'publish ' || r.event
      and o.completion_order > r.after
    order by o.completion_order
    limit case when r.newest then 0 else %(limit)s::bigint end
  ) union all (
    select o.completion_order, o.output::text
    from outlast.operation_outputs o
    where o.workflow_id = w.workflow_id and o.kind = 'publish' and o.name = 'publish ' || r.event
      and o.completion_order > r.after
    order by o.completion_order desc
    limit case when r.newest then 1 else 0 end
  )
) as e on true
order by r.place, e.number

-- name: attributes
select attributes::text from outlast.workflow_status where workflow_id = %(workflow_id)s

-- name: concerned
select concerns, number, last_created_at, last_workflow_id
from outlast.bulk_concerns(
  %(filter)s::jsonb, %(step)s::text, %(created_at)s::timestamptz, %(workflow_id)s::text, %(most)s::integer)

-- name: step_name
-- The name recorded under this id, or of the step that ran there when the workflow was paused.
select coalesce(o.name, w.held -> 'running' ->> %(step_id)s) as name
from outlast.workflow_status w
left join outlast.operation_outputs o on o.workflow_id = w.workflow_id and o.step_id = %(step_id)s
where w.workflow_id = %(workflow_id)s

-- name: callback
-- A callback, and how often it was used. A workflow that only undoes receives no more answers.
select
  w.function, w.version, w.status in ('ENQUEUED', 'PENDING') and coalesce(w.saga, 'open') = 'open' as live, o.output::text,
  (
    select count(*)::int from outlast.messages m
    where m.workflow_id = w.workflow_id and starts_with(m.idempotency_key, %(keys)s)
  ) as used
from outlast.workflow_status w
left join outlast.operation_outputs o
  on o.workflow_id = w.workflow_id and o.step_id = %(step_id)s and o.kind = 'callback'
where w.workflow_id = %(workflow_id)s

-- name: load
-- All that workflows need to run: for each first its own row, then its records. `lateral` gives this order without a sort, so
-- that the first workflows can be used before the last ones are read.
select d.place, r.*
from unnest(%(ids)s::text[]) with ordinality as d (workflow_id, place)
cross join lateral (
  select null as step_id, w.stop::text as name, w.input::text as output, w.request::text as error,
    w.generation as attempts, w.last_place as completion_order,
    case when w.root_id is not null or w.born is not null then
      (coalesce(w.born::jsonb, '{}') || jsonb_strip_nulls(jsonb_build_object('root', w.root_id)))::text end as kind,
    extract(epoch from w.retried_at)::float8 as at_s,
    null::bigint as arguments
  from outlast.workflow_status w where w.workflow_id = d.workflow_id
  union all
  select o.step_id, o.name, o.output::text, o.error::text, o.attempts, o.completion_order, coalesce(o.kind, ''),
    extract(epoch from o.at)::float8, o.arguments
  from outlast.operation_outputs o where o.workflow_id = d.workflow_id
) as r

-- name: cancel
-- The raised epoch makes every later write of the owner fail. A workflow with sagas undoes first.
-- guard: cancel-told-to-nobody = select status
select status, (outlast.tell_untold()).woken
from outlast.cancel_workflows(
  array[%(workflow_id)s], 'the workflow was cancelled', %(nonce)s::bigint, %(by)s, %(why)s, %(mode)s = 'kill')

-- name: changed
-- Whether an earlier try of the same call, whose answer was lost, has done it.
select status
from outlast.workflow_status
where workflow_id = %(workflow_id)s
  -- guard: strangers-cancel-taken
  and nonce = %(nonce)s

-- name: run_bulk
select ran, next_s, fault from outlast.run_bulk()
