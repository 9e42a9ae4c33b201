-- Supabase Queues: messages become workflows. pgmq's own functions do to its tables what is done to them, so that
-- any version of it will do.

-- name: consume
-- One statement, one commit: the row of a workflow is durable and its message gone, or neither.
with limited as materialized (
  -- Till this commit: whoever has locked a queue's table holds up neither other queues nor a connection for long.
  select set_config('lock_timeout', '300ms', true) as lock_timeout
), read as materialized (
  -- Messages may be large: each is made a text once. Before 1.5 there are no headers; the name is the outer one then.
  select
    'pgmq:' || %(queue)s::text as queue, r.msg_id, r.enqueued_at, r.read_ct, r.message::text as document,
    (select headers from (select r.*) as own) as headers
  -- Longer hidden than any commit takes: what isn't deleted below is for later.
  from limited
  cross join (select null::jsonb as headers) as older
  cross join lateral pgmq.read(
    %(queue)s, 30, case when limited.lock_timeout is null then 0 else %(room)s::integer end) as r
), numbered as (
  -- A queue that was dropped and made again counts from 1 again: an id may be another message's. The second is no other's.
  select
    r.*, r.queue || ':' || r.msg_id as plain_id,
    r.queue || ':' || r.msg_id || ':' || to_char(r.enqueued_at at time zone 'utc', 'YYYYMMDD"T"HH24MISSUS') as timed_id
  from read r
), named as (
  select
    m.*,
    case when exists (select from outlast.workflow_status w where w.workflow_id = m.plain_id) then m.timed_id
      else m.plain_id end as workflow_id,
    -- One that a backup of the queue's table brought back: its workflow is there.
    exists (
      select from outlast.workflow_status w
      where w.workflow_id in (m.plain_id, m.timed_id)
        and case when w.queue = m.queue then (w.attributes ->> 'enqueued_at')::timestamptz = m.enqueued_at end
    ) as done
  from numbered m
), new as (
  select
    n.workflow_id, %(function)s as function, document as input, null as request, null as idempotency_key,
    null as fingerprint, null as subject,
    '{"role":"service_role","outlast":{"mode":"queue","key":null}}' as claims, n.queue,
    jsonb_strip_nulls(jsonb_build_object(
      'msg_id', n.msg_id, 'enqueued_at', n.enqueued_at, 'read_ct', n.read_ct, 'headers', n.headers)) as attributes,
    %(version)s as version, null as parent, now() + make_interval(secs => %(timeout)s) as deadline,
    null::bigint as nonce, %(instance)s as owner, now() as at,
    -- include: start.sql load_bytes
    as load_bytes
  from named n
  where not n.done
), started as (
  -- include: start.sql insert
  returning
    w.workflow_id, w.function, w.epoch, null::text as input, null::text as request, w.subject, w.claims::text, w.version,
    w.parent, w.recovery_attempts, extract(epoch from w.deadline)::float8 as deadline_s,
    extract(epoch from w.created_at)::float8 as created_s, w.load_bytes
), deleted as materialized (
  select count(d) as messages
  from (
    select array_agg(n.msg_id) as ids
    from named n
    where n.done or n.workflow_id in (select workflow_id from started)
  ) as over
  cross join lateral pgmq.delete(%(queue)s, over.ids) as d
  where over.ids is not null
)
select s.* from deleted left join started s on true
